import { RestRoutes, restHandler } from "../calls/rest/index.ts";
import {
  health,
  type Implementation,
  type Interceptor,
  type RpcLimits,
  RpcServer,
  reflection,
} from "../calls/rpc/index.ts";
import type { Observer, Platform, TlsServerOptions } from "../platform/index.ts";
import type { ListenerLimits } from "../wire/index.ts";
import { healthRoutes } from "./health-routes.ts";

export interface ServerOptions {
  /** Made by `implement`. Health and reflection are added to them. */
  readonly services: readonly Implementation[];
  /** Run around every call, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Certificate and key in PEM; with `clientCa`, clients must show a certificate. */
  readonly tls?: TlsServerOptions | undefined;
  /** With `tls`: also serve connections without it. @default false */
  readonly allowPlaintext?: boolean | undefined;
  readonly limits?: Partial<RpcLimits & ListenerLimits> | undefined;
  /** Serve gRPC reflection. @default true */
  readonly reflection?: boolean | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

export type Server = RpcServer;

/**
 * A server of one or more services: gRPC, gRPC-Web, Connect and the contract's REST routes on one port, with health
 * checks and reflection.
 *
 * ```ts
 * const server = createServer({ services: [implement(OrderService, handlers)] });
 * await server.listen({ port: 8080 });
 * ```
 * @throws TypeError for a service given twice; ContractError for routes that conflict
 */
export function createServer(options: ServerOptions): Server {
  const services = options.services.map(({ service }) => service.desc);
  const extras = [health(services).implementation, ...(options.reflection === false ? [] : reflection(services))];
  const routes = new RestRoutes(options.services.map(({ service }) => service));
  return new RpcServer({
    ...options,
    services: [...options.services, ...extras],
    http: [healthRoutes, restHandler(routes)],
  });
}
