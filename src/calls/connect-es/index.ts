/**
 * For code written for connect-es: a transport for its clients over our connections, and its routers served by our server.
 * The only folder that imports `@connectrpc/connect`, which is an optional peer. May import `rpc` and what that may. Start
 * at `transport.ts` for clients, `services.ts` for servers.
 */
export { type ConnectServicesOptions, connectServices } from "./services.ts";
export { type ChannelTransport, createTransport } from "./transport.ts";
export type { TransportOptions, TransportOptionsWithBaseUrl } from "./transport-options.ts";
