import { createServer as createHttpServer } from "node:http";
import { createServer as createHttp2Server, type Http2Session } from "node:http2";
import type { AddressInfo, Server as NetServer } from "node:net";
import type { Interceptor, Transport } from "@connectrpc/connect";
import {
  connectNodeAdapter,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { createServer } from "trunkline";
import { connectServices, createTransport, type TransportOptions } from "trunkline/connect";
import routes from "./eliza.ts";

type HttpVersion = "1.1" | "2";

/** One of the servers that the routes are served by. */
export interface ServerVariant {
  readonly title: string;
  readonly isOurs: boolean;
  readonly httpVersions: readonly HttpVersion[];
  start(interceptors?: Interceptor[]): Promise<RunningServer>;
}

export interface RunningServer {
  readonly baseUrl: string;
  close(): Promise<void>;
}

export const servers: readonly ServerVariant[] = [
  {
    title: "our server with a router's services",
    isOurs: true,
    httpVersions: ["1.1", "2"],
    async start(interceptors = []) {
      const server = createServer({ services: connectServices(routes, { interceptors }) });
      const { port } = await server.listen({ port: 0, host: "127.0.0.1" });
      return { baseUrl: `http://127.0.0.1:${port}`, close: () => server.close() };
    },
  },
  {
    title: "connect-node over HTTP/2",
    isOurs: false,
    httpVersions: ["2"],
    async start(interceptors = []) {
      const server = createHttp2Server(connectNodeAdapter({ routes, interceptors }));
      const sessions = new Set<Http2Session>();
      server.on("session", session => sessions.add(session));
      const baseUrl = await listening(server);
      return {
        baseUrl,
        close: async () => {
          for (const session of sessions) session.destroy();
          await closed(server);
        },
      };
    },
  },
  {
    title: "connect-node over HTTP/1.1",
    isOurs: false,
    httpVersions: ["1.1"],
    async start(interceptors = []) {
      const server = createHttpServer(connectNodeAdapter({ routes, interceptors }));
      const baseUrl = await listening(server);
      return {
        baseUrl,
        close: async () => {
          server.closeAllConnections();
          await closed(server);
        },
      };
    },
  },
];

async function listening(server: NetServer): Promise<string> {
  await new Promise<void>(resolve => {
    server.listen(0, "127.0.0.1", resolve);
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

function closed(server: NetServer): Promise<void> {
  return new Promise(resolve => {
    server.close(() => resolve());
  });
}

/** One of the transports that connect-es's clients call by. */
export interface ClientVariant {
  readonly title: string;
  readonly isOurs: boolean;
  readonly httpVersion: HttpVersion;
  open(baseUrl: string, interceptors?: Interceptor[]): Transport & Partial<AsyncDisposable>;
}

function ours(title: string, httpVersion: HttpVersion, options: TransportOptions): ClientVariant {
  return {
    title: `our transport: ${title}`,
    isOurs: true,
    httpVersion,
    open: (baseUrl, interceptors = []) => createTransport({ baseUrl, httpVersion, ...options, interceptors }),
  };
}

function theirs(
  title: string,
  httpVersion: HttpVersion,
  open: (options: { baseUrl: string; httpVersion: HttpVersion; interceptors: Interceptor[] }) => Transport,
): ClientVariant {
  return {
    title: `connect-node: ${title}, HTTP/${httpVersion}`,
    isOurs: false,
    httpVersion,
    open: (baseUrl, interceptors = []) => open({ baseUrl, httpVersion, interceptors }),
  };
}

const seeing: Interceptor = next => request => next(request);

export const clients: readonly ClientVariant[] = [
  ours("gRPC, binary", "2", {}),
  ours("gRPC, JSON", "2", { codec: "json" }),
  ours("Connect, binary, HTTP/2", "2", { protocol: "connect" }),
  ours("Connect, JSON, HTTP/1.1", "1.1", { protocol: "connect", codec: "json" }),
  ours("Connect with GET, HTTP/2", "2", { protocol: "connect", useHttpGet: true }),
  ours("gRPC-Web, binary, HTTP/1.1", "1.1", { protocol: "grpc-web" }),
  ours("gRPC-Web, JSON, HTTP/2", "2", { protocol: "grpc-web", codec: "json" }),
  ...(["2", "1.1"] as const).map(
    (httpVersion): ClientVariant => ({
      title: `our transport with an interceptor: HTTP/${httpVersion}`,
      isOurs: true,
      httpVersion,
      open: (baseUrl, interceptors = []) => {
        const protocol = httpVersion === "2" ? "grpc" : "connect";
        return createTransport({ baseUrl, httpVersion, protocol, interceptors: [seeing, ...interceptors] });
      },
    }),
  ),
  theirs("gRPC", "2", createGrpcTransport),
  theirs("Connect", "2", createConnectTransport),
  theirs("Connect", "1.1", createConnectTransport),
  theirs("gRPC-Web", "2", createGrpcWebTransport),
  theirs("gRPC-Web", "1.1", createGrpcWebTransport),
];
