/** `trunkline/connect`: clients and routers of connect-es on our connections and servers. Needs `@connectrpc/connect`. */
export {
  type ChannelTransport,
  type ConnectServicesOptions,
  connectServices,
  createTransport,
  type TransportOptions,
  type TransportOptionsWithBaseUrl,
} from "../calls/connect-es/index.ts";
