import { type FetchHandler, type FetchLimits, fetchHandler } from "../calls/fetch/index.ts";
import { idempotencyAdditions } from "../calls/idempotency/index.ts";
import { notFoundHandler, type OpenApiOptions, openApiHandler, RestRoutes, restHandler } from "../calls/rest/index.ts";
import {
  type CorsOptions,
  health,
  type Implementation,
  type Interceptor,
  isAuthenticating,
  type MethodLimit,
  type OverloadOptions,
  type RpcLimits,
  RpcServer,
  type RpcServerOptions,
  reflection,
} from "../calls/rpc/index.ts";
import {
  type Observer,
  type Platform,
  silentObserver,
  systemPlatform,
  type TlsServerOptions,
} from "../platform/index.ts";
import type { ListenerLimits } from "../wire/index.ts";
import { asyncApiRoute, type ServerAsyncApiOptions } from "./asyncapi-route.ts";
import { healthRoutes, type ReadinessCheck } from "./health-routes.ts";
import { type Server, serverInWorkers } from "./worker-server.ts";

export interface ServerOptions {
  /** Made by `implement`. Health and reflection are added to them. */
  readonly services: readonly Implementation[];
  /** Run around every call, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Serves every request that is none of the contract, such as `app.fetch` of a Hono application. */
  readonly fetch?: FetchHandler | undefined;
  /** Which web pages of other origins may call. @default none */
  readonly cors?: CorsOptions | undefined;
  /** Certificate and key in PEM; with `clientCa`, clients must show a certificate. */
  readonly tls?: TlsServerOptions | undefined;
  /** With `tls`: also serve connections without it. @default false */
  readonly allowPlaintext?: boolean | undefined;
  readonly limits?: Partial<RpcLimits & ListenerLimits & FetchLimits> | undefined;
  /** Serve gRPC reflection. @default true */
  readonly reflection?: boolean | undefined;
  /**
   * Processes that serve the port. They run the main module again; a dead one is replaced, with back-off.
   * @default none but this one
   */
  readonly workers?: number | undefined;
  /**
   * What this service needs to work, by name: its database, its broker; never optional peers. `/readyz` asks each, for two
   * seconds at most; one that throws makes it answer 503. What it resolves with is shown as `detail`.
   */
  readonly readiness?: Readonly<Record<string, ReadinessCheck>> | undefined;
  /** How work is turned away that cannot be done in time; `false`: none is, whatever comes. @default on */
  readonly overload?: OverloadOptions | false | undefined;
  /** Fixed limits by the path of a method, such as `/order.OrderService/ListOrders`. @default none */
  readonly methodLimits?: Readonly<Record<string, MethodLimit>> | undefined;
  /** When answers are compressed. @default `{ responses: "mirror", bytesMin: 1024 }` */
  readonly compression?: RpcServerOptions["compression"];
  /** Hold requests to the `buf.validate` rules of their contract before handlers see them. @default true */
  readonly validation?: boolean | undefined;
  /**
   * Who finds out who calls, where the contract demands that (`trunkline.v1.auth`). `elsewhere`: something in front of this
   * server, which is the only one that can reach it. @default "here": an interceptor made by `authenticate`
   */
  readonly authentication?: "here" | "elsewhere" | undefined;
  /** What REST routes do with JSON members that the contract does not have. @default "reject" */
  readonly unknownFields?: "ignore" | "reject" | undefined;
  /** What `/openapi.json` and `/docs` say beside the routes; `false`: they are not served. */
  readonly openapi?: OpenApiOptions | false | undefined;
  /**
   * The events of this service, for `/asyncapi.json`: the broker whose subscriptions are shown, and what is published.
   * @default it is not served
   */
  readonly asyncapi?: ServerAsyncApiOptions | false | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

/**
 * A server of one or more services: gRPC, gRPC-Web, Connect and the contract's REST routes on one port, with health
 * checks and reflection.
 *
 * ```ts
 * const server = createServer({ services: [implement(OrderService, handlers)] });
 * await server.listen({ port: 8080 });
 * ```
 * @throws TypeError for a service given twice, or one that demands known callers where nobody finds out who they are;
 * TypeError, RangeError for wrong limits; ContractError for routes that conflict, and for published messages that are no events;
 * BrokerError for brokers of `asyncapi` that mean nothing
 */
export function createServer(options: ServerOptions): Server {
  const services = options.services.map(({ service }) => service.desc);
  const healthOfServices = health(services);
  const extras = [healthOfServices.implementation, ...(options.reflection === false ? [] : reflection(services))];
  const routes = new RestRoutes(
    options.services.map(({ service }) => service),
    options,
  );
  const http = [healthRoutes(options.readiness ?? {}, options.platform ?? systemPlatform), restHandler(routes)];
  if (options.openapi !== false) {
    const additions = idempotencyAdditions(options.interceptors ?? []);
    http.push(openApiHandler(routes, documented(options.openapi ?? {}, options), additions));
  }
  if (options.asyncapi) http.push(asyncApiRoute(options.asyncapi));
  http.push(options.fetch === undefined ? notFoundHandler : fetchHandler(options.fetch, options.limits));
  const server = new RpcServer({
    ...options,
    services: [...options.services, ...extras],
    http,
    onDraining: () => healthOfServices.stop(),
  });
  if (options.workers === undefined) return server;
  return serverInWorkers(server, options.workers, options.observer ?? silentObserver);
}

/** What the document says, with how callers prove who they are where the user has not said it. */
function documented(openapi: OpenApiOptions, { interceptors = [] }: ServerOptions): OpenApiOptions {
  return { security: interceptors.find(isAuthenticating)?.authentication, ...openapi };
}
