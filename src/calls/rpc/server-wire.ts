import type { RpcError } from "../../errors/index.ts";
import type { ProtocolName } from "./call.ts";
import type { ServerCall } from "./server-call.ts";

/** The protocol's side of a server call. One object per call: it parses what comes and frames what goes. */
export interface ServerWire {
  readonly protocol: ProtocolName;
  /** Takes body bytes; calls `call.message` for each whole message. @throws RpcError */
  data(call: ServerCall, chunk: Buffer, start: number, end: number): void;
  /** The body is complete. @throws RpcError when it ends inside a message */
  ended(call: ServerCall): void;
  /** Sends head, the only message and the end. */
  respond(call: ServerCall, message: object): void;
  /** Sends a message of a stream, the head before the first. */
  send(call: ServerCall, message: object): void;
  /** Ends the call; without an error after a stream, with one instead of the (rest of the) answer. */
  finish(call: ServerCall, error: RpcError | undefined): void;
  /** The caller has gone: nothing can be sent any more. For wires that hold timers. */
  aborted?(): void;
}
