/**
 * The one seam to the machine: time, randomness, network, and the mechanisms that travel with a piece of work (observer,
 * ambient context). Nothing outside this folder touches the real ones, so that a whole system can run on virtual ones.
 * Imports only `errors`. Start at `platform.ts`, then `system/`.
 */
export { ByteWriter, recycle } from "./byte-writer.ts";
export type { Clock, Timer } from "./clock.ts";
export {
  bindIterator,
  type Context,
  type ContextKey,
  captureContext,
  contextKey,
  contextValue,
  outsideContext,
  restoreContext,
  runInContext,
  WholeContext,
} from "./context.ts";
export { Environment, EnvironmentError, type Variables } from "./environment.ts";
export { hostAndPort } from "./host-and-port.ts";
export {
  type AddressRecord,
  type ByteStream,
  type ByteStreamHandler,
  type ConnectOptions,
  type DnsClient,
  DnsError,
  type DnsFailureReason,
  type DnsOptions,
  type Listening,
  type ListenOptions,
  type Network,
  type PeerCertificate,
  type ResolvedAddress,
  type ServiceRecord,
  type TlsClientOptions,
  type TlsServerContext,
  type TlsServerOptions,
  type TlsState,
} from "./network.ts";
export { type ObservedEvent, type Observer, silentObserver } from "./observer.ts";
export type { FileWatch, Platform } from "./platform.ts";
export type { Random } from "./random.ts";
export { isBusy, sqliteTransaction, whenFree } from "./sqlite.ts";
export {
  cryptoModule,
  isWorkerProcess,
  joinPrimary,
  systemPlatform,
  type WorkerAddress,
  WorkerCrew,
  type WorkerEnded,
} from "./system/index.ts";
export { currentWork, type Priority, type TraceContext, traceOf, type Work } from "./work.ts";
