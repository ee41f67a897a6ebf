import type { DescMethod, DescService } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ConnectRouterOptions,
  type ContextValues,
  createConnectRouter,
  createMethodImplSpec,
  createServiceImplSpec,
  type HandlerContext,
  type Interceptor,
  type MethodImplSpec,
} from "@connectrpc/connect";
import { type Call, type Implementation, implement } from "../rpc/index.ts";
import { type HandlerSettings, handlerOf } from "./handler.ts";
import { refuseForeignOptions } from "./transport-options.ts";

/** What connect-es's adapters take and has an effect here. */
export interface ConnectServicesOptions {
  /** connect-es's interceptors, the first one outermost. Those of a service or rpc replace them. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Runs before interceptors and implementation, with the context of the call; throws a `ConnectError` to refuse it. */
  readonly requestGate?: ((context: HandlerContext) => void | Promise<void>) | undefined;
  /** Aborts the signals of all handlers; `server.drain` does not. */
  readonly shutdownSignal?: AbortSignal | undefined;
  /** The values that a call begins with. */
  readonly contextValues?: ((call: Call) => ContextValues) | undefined;
}

/** Options of connect-es's adapters and routers that are the server's here. */
const foreign: Readonly<Record<string, string>> = {
  acceptCompression: "every server reads gzip, br, zstd and deflate: leave it out",
  binaryOptions: "unknown fields are always kept: leave it out",
  compressMinBytes: "use createServer({ compression: { bytesMin } })",
  connect: "every server speaks Connect: leave it out",
  fallback: "use createServer({ fetch })",
  grpc: "every server speaks gRPC: leave it out",
  grpcWeb: "every server speaks gRPC-Web: leave it out",
  jsonOptions: "Any is resolved with the files that the contract imports: leave it out",
  maxTimeoutMs: "use createServer({ limits: { timeoutMsMax } }), which caps deadlines instead of refusing them",
  readMaxBytes: "use createServer({ limits: { receiveBytesMax } })",
  requestPathPrefix: "methods are at the paths of the contract: leave it out",
  requireConnectProtocolHeader: "the header is not asked for: leave it out",
  writeMaxBytes: "use createServer({ limits: { sendBytesMax } })",
};

/**
 * The services that a routes function of connect-es registers, for `createServer`: all protocols serve them. Handlers get
 * connect-es's `HandlerContext`; what they throw as `ConnectError` goes out with its code, details and metadata.
 *
 * ```ts
 * const server = createServer({ services: connectServices(routes) });
 * ```
 * @throws TypeError for options of connect-es that would have no effect, with what to use instead
 */
export function connectServices(
  routes: (router: ConnectRouter) => unknown,
  options: ConnectServicesOptions = {},
): readonly Implementation[] {
  refuseForeignOptions("connectServices", options, foreign);
  const registered = new Registrations();
  routes(recordingRouter(registered));
  return registered.implementations(options);
}

type RouteOptions = Partial<ConnectRouterOptions>;

/** A router that notes what is registered. */
function recordingRouter(registered: Registrations): ConnectRouter {
  // Only for routes functions that look at `handlers`.
  const universal = createConnectRouter();
  const router: ConnectRouter = {
    handlers: universal.handlers,
    service(service, implementation, options) {
      universal.service(service, implementation);
      const { methods } = createServiceImplSpec(service, implementation);
      for (const spec of Object.values(methods)) registered.add(spec, options);
      return router;
    },
    rpc(method, implementation, options) {
      universal.rpc(method, implementation);
      registered.add(createMethodImplSpec(method, implementation), options);
      return router;
    },
  };
  return router;
}

/** Methods with their implementations; one that is registered again is the later one's, as with connect-es. */
class Registrations {
  readonly #services = new Map<DescService, Map<DescMethod, { spec: MethodImplSpec; options: RouteOptions }>>();

  add(spec: MethodImplSpec, options: RouteOptions = {}): void {
    const { method } = spec;
    refuseForeignOptions(`connectServices, router of ${method.parent.typeName}`, options, foreign);
    let methods = this.#services.get(method.parent);
    if (methods === undefined) {
      methods = new Map();
      this.#services.set(method.parent, methods);
    }
    methods.set(method, { spec, options });
  }

  /** What is not registered answers `unimplemented`, which is what clients make of connect-es's 404. */
  implementations(base: ConnectServicesOptions): readonly Implementation[] {
    return [...this.#services].map(([desc, registered]) => {
      const { service, methods } = implement(desc, {});
      return {
        service,
        methods: methods.map(served => {
          const entry = registered.get(served.method.desc);
          if (entry === undefined) return served;
          return { ...served, handler: handlerOf(entry.spec, handlerSettings(entry.options, base)) };
        }),
      };
    });
  }
}

function handlerSettings(options: RouteOptions, base: ConnectServicesOptions): HandlerSettings {
  return {
    interceptors: [...(options.interceptors ?? base.interceptors ?? [])],
    requestGate: options.requestGate ?? base.requestGate,
    shutdownSignal: options.shutdownSignal ?? base.shutdownSignal,
    contextValues: base.contextValues,
  };
}
