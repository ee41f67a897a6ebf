import { type Method, type Validate, validation } from "../../contract/index.ts";
import { codeRow, RpcError } from "../../errors/index.ts";
import {
  type Observer,
  type Platform,
  silentObserver,
  systemPlatform,
  type TlsServerOptions,
} from "../../platform/index.ts";
import {
  constantField,
  HeaderField,
  type Listener,
  type ListenerLimits,
  listen,
  type ServerExchange,
} from "../../wire/index.ts";
import { type AuthenticatingInterceptor, checkIsAuthenticated, isAuthenticating } from "./authentication.ts";
import { asRpcError, type Interceptor } from "./call.ts";
import { type CallHost, connectionLoad, type ResponseCompression } from "./call-host.ts";
import { compressBytesMin } from "./compression.ts";
import { type RpcContentType, rpcContentType } from "./content-type.ts";
import { Cors, type CorsOptions } from "./cors.ts";
import { discardBody } from "./discard-body.ts";
import type { Implementation } from "./implement.ts";
import { type RpcLimits, rpcLimits } from "./limits.ts";
import { readConnectGet } from "./protocols/connect/get.ts";
import { ConnectStreamServerWire, ConnectUnaryServerWire } from "./protocols/connect/server.ts";
import { GrpcServerWire } from "./protocols/grpc/server.ts";
import { GrpcWebServerWire } from "./protocols/grpc-web/server.ts";
import { GrpcWebTextServerWire } from "./protocols/grpc-web/text-server.ts";
import type { CodecName } from "./protocols/message.ts";
import { readConnectTimeout, readGrpcTimeout } from "./protocols/timeout.ts";
import type { ServedMethod } from "./served-method.ts";
import { ServerCall } from "./server-call.ts";
import { type MethodLimit, methodPlaces } from "./server-method-limits.ts";
import { MethodGate, Overload, type OverloadOptions } from "./server-overload.ts";
import type { ServerWire } from "./server-wire.ts";

/** Serves requests that are not calls of an RPC protocol; answers `false` for those that it does not know. */
export type HttpHandler = (exchange: ServerExchange, server: RpcServer) => boolean;

export interface RpcServerOptions {
  readonly services: readonly Implementation[];
  /** Run around every call, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Asked in order for every request that no RPC protocol claims. */
  readonly http?: readonly HttpHandler[] | undefined;
  /** Which web pages of other origins may call. @default none */
  readonly cors?: CorsOptions | undefined;
  readonly tls?: TlsServerOptions | undefined;
  /** With `tls`: also serve connections without it on the same port. @default false */
  readonly allowPlaintext?: boolean | undefined;
  readonly limits?: Partial<RpcLimits & ListenerLimits> | undefined;
  /** How work is turned away that cannot be done in time; `false`: none is, whatever comes. @default on */
  readonly overload?: OverloadOptions | false | undefined;
  /** Fixed limits by the path of a method, such as `/order.OrderService/ListOrders`. @default none */
  readonly methodLimits?: Readonly<Record<string, MethodLimit>> | undefined;
  /** When answers are compressed. @default `{ responses: "mirror", bytesMin: 1024 }` */
  readonly compression?: Partial<ResponseCompression> | undefined;
  /** Hold requests to the `buf.validate` rules of their contract before handlers see them. @default true */
  readonly validation?: boolean | undefined;
  /**
   * Who finds out who calls, where the contract demands that (`trunkline.v1.auth`). `elsewhere`: something in front of this
   * server, which is the only one that can reach it. @default "here": an interceptor made by `authenticate`
   */
  readonly authentication?: "here" | "elsewhere" | undefined;
  /** Called when the server begins to drain or close. */
  readonly onDraining?: (() => void) | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

export interface ServerListenOptions {
  /** 0: any free port. */
  readonly port: number;
  /** @default "::", which takes IPv4 as well */
  readonly host?: string | undefined;
}

const jsonType: readonly HeaderField[] = [constantField("content-type", "application/json")];
const textType: readonly HeaderField[] = [constantField("content-type", "text/plain; charset=utf-8")];

/** Serves gRPC, gRPC-Web, Connect and whatever `http` adds, on one port. Made by `createServer`. */
export class RpcServer implements CallHost, AsyncDisposable {
  readonly clock;
  readonly observer: Observer;
  readonly interceptors: readonly Interceptor[];
  readonly authenticators: readonly AuthenticatingInterceptor[];
  readonly defaultTimeoutMs: number;
  readonly timeoutMsMax: number;
  readonly receiveBytesMax: number;
  readonly sendBytesMax: number;
  readonly compression: ResponseCompression;
  readonly services: readonly Implementation[];
  readonly #options: RpcServerOptions;
  readonly #methods = new Map<string, ServedMethod>();
  readonly #rulesLoading: Promise<void>[] = [];
  readonly #handlersPerConnectionMax: number;
  readonly #cors: Cors | undefined;
  readonly #overload: Overload;
  #activeCalls = 0;
  #listener: Listener | undefined;
  #isDraining = false;

  /**
   * @throws TypeError when a service is given twice, or demands known callers and nobody finds out who they are; TypeError,
   * RangeError for wrong limits
   */
  constructor(options: RpcServerOptions) {
    const limits = rpcLimits(options.limits);
    this.#options = options;
    const platform = options.platform ?? systemPlatform;
    this.clock = platform.clock;
    this.observer = options.observer ?? silentObserver;
    this.interceptors = options.interceptors ?? [];
    this.authenticators = this.interceptors.filter(isAuthenticating);
    this.defaultTimeoutMs = limits.defaultTimeoutMs;
    this.#handlersPerConnectionMax = limits.handlersPerConnectionMax;
    this.timeoutMsMax = limits.timeoutMsMax;
    this.receiveBytesMax = limits.receiveBytesMax;
    this.sendBytesMax = limits.sendBytesMax;
    this.compression = { responses: "mirror", bytesMin: compressBytesMin, ...options.compression };
    this.services = options.services;
    this.#cors = options.cors === undefined ? undefined : new Cors(options.cors, this.observer);
    for (const { service, methods } of options.services) {
      for (const served of methods) {
        if (this.#methods.has(served.method.path)) {
          throw new TypeError(`createServer: the service ${service.typeName} is given twice`);
        }
        this.#methods.set(served.method.path, served);
      }
      if (options.authentication !== "elsewhere") checkIsAuthenticated(service.methods, this.interceptors);
    }
    this.#overload = new Overload(options.overload === false ? {} : (options.overload ?? {}), platform, this.observer);
    const places = methodPlaces(options.methodLimits ?? {}, path => this.#methods.has(path), platform);
    for (const [path, served] of this.#methods) {
      const sheds = options.overload !== false && !answersAlways.test(path);
      const place = places.get(path);
      const gate = sheds || place !== undefined ? new MethodGate(this.#overload, served, sheds, place) : undefined;
      const gated = { ...served, gate };
      this.#methods.set(path, options.validation === false ? gated : this.#validated(gated));
    }
  }

  /** The method behind the rules of its contract. Until they are loaded it answers nobody. */
  #validated(served: ServedMethod): ServedMethod {
    const loading = validation(served.method.desc.input);
    if (loading === undefined) return served;
    const guarded: { method: Method; handler: ServedMethod["handler"]; validate: Validate } = {
      ...served,
      validate: () => {
        throw new RpcError("unavailable", "the server has not finished its start");
      },
    };
    this.#rulesLoading.push(
      loading.then(validate => {
        guarded.validate = validate;
      }),
    );
    return guarded;
  }

  /** Draining or closed: readiness probes should say no. */
  get isDraining(): boolean {
    return this.#isDraining;
  }

  /** Calls that run now. */
  get activeCalls(): number {
    return this.#activeCalls;
  }

  /**
   * @throws (rejects) when the port is taken, naming host and port; when the server listens already or is over; when an authenticator
   * lacks something; ContractError for rules of the contract that cannot be evaluated
   */
  async listen(options: ServerListenOptions): Promise<{ readonly host: string; readonly port: number }> {
    if (this.#listener !== undefined) throw new Error(`the server listens already, on port ${this.#listener.port}`);
    if (this.#isDraining) throw new Error("the server was drained or closed; make a new one to listen again");
    const { tls, allowPlaintext, limits, observer, platform } = this.#options;
    const host = { platform: platform ?? systemPlatform, observer: this.observer };
    await Promise.all([
      ...this.#rulesLoading,
      ...this.authenticators.map(({ authentication }) => authentication.start(host)),
    ]);
    this.#listener = await listen({
      handler: exchange => this.handle(exchange),
      host: options.host,
      port: options.port,
      tls,
      allowPlaintext,
      limits,
      observer,
      platform,
    });
    return { host: this.#listener.host, port: this.#listener.port };
  }

  /** New connections see the new certificate; open ones go on. @throws when it does not load: the old one stays */
  reloadTls(options: TlsServerOptions): void {
    if (this.#listener === undefined) throw new Error("the server does not listen: there is no certificate to replace");
    this.#listener.reloadTls(options);
  }

  /** Takes no new calls, lets the running ones finish, then ends. @param options.timeoutMs default 25,000 */
  async drain(options: { readonly timeoutMs?: number } = {}): Promise<void> {
    this.#beginDraining();
    await this.#listener?.drain(options.timeoutMs);
    this.#listener = undefined;
  }

  /** Ends at once. */
  async close(): Promise<void> {
    this.#beginDraining();
    const listener = this.#listener;
    this.#listener = undefined;
    await listener?.close();
  }

  #beginDraining(): void {
    if (this.#isDraining) return;
    this.#isDraining = true;
    this.#overload.loop.stop();
    this.#options.onDraining?.();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }

  started(): void {
    this.#activeCalls++;
  }

  ended(): void {
    this.#activeCalls--;
  }

  /** Serves one request; the listener's handler, public so that other transports can use it. */
  handle(exchange: ServerExchange): void {
    if (this.#cors === undefined) {
      this.#handle(exchange);
      return;
    }
    const allowed = this.#cors.apply(exchange);
    if (allowed !== undefined) this.#handle(allowed);
  }

  #handle(exchange: ServerExchange): void {
    const contentType = rpcContentType(exchange.fields);
    const served = this.#lookUp(exchange);
    if (served !== undefined && exchange.method === "POST" && contentType !== undefined) {
      this.#call(exchange, served, contentType.kind, contentType.codec);
    } else if (served !== undefined && exchange.method === "GET") {
      this.#connectGet(exchange, served);
    } else if (contentType !== undefined && isGrpc(contentType.kind) && exchange.method === "POST") {
      this.#unknownMethod(exchange, new grpcWires[contentType.kind](contentType.codec, undefined, 0));
    } else if (served !== undefined) {
      this.#wrongRequest(exchange, served);
    } else if (!this.#http(exchange)) {
      discardBody(exchange);
      exchange.respond(
        404,
        jsonType,
        JSON.stringify({ code: "not_found", message: `nothing is served at ${exchange.path.value}` }),
      );
    }
  }

  /** The method of a path; remembered on the path's field, which HTTP/2 hands out again for each repetition. */
  #lookUp(exchange: ServerExchange): ServedMethod | undefined {
    const { path } = exchange;
    if (path.derived === undefined) {
      const target = path.value;
      const query = target.indexOf("?");
      path.derived = this.#methods.get(query === -1 ? target : target.slice(0, query)) ?? null;
    }
    return (path.derived as ServedMethod | null) ?? undefined;
  }

  #call(exchange: ServerExchange, served: ServedMethod, kind: RpcContentType["kind"], codec: CodecName): void {
    const { fields } = exchange;
    const isUnary = served.method.kind === "unary";
    const limit = served.method.policy.requestBytesMax ?? this.receiveBytesMax;
    switch (kind) {
      case "grpc":
      case "grpc-web":
      case "grpc-web-text": {
        const wire = new grpcWires[kind](codec, fields.get("grpc-encoding"), limit);
        this.serve(exchange, served, wire, () => {
          const timeout = fields.get("grpc-timeout");
          return timeout === undefined ? undefined : readGrpcTimeout(timeout);
        });
        break;
      }
      default: {
        if (isUnary !== (kind === "connect-unary")) {
          this.#wrongRequest(exchange, served);
          return;
        }
        const wire = isUnary
          ? new ConnectUnaryServerWire(codec, fields.get("content-encoding"), limit)
          : new ConnectStreamServerWire(codec, fields.get("connect-content-encoding"), limit);
        this.serve(exchange, served, wire, () => connectTimeout(exchange));
      }
    }
  }

  /** The method at an RPC path, for protocols that find methods in another way. */
  servedMethod(path: string): ServedMethod | undefined {
    return this.#methods.get(path);
  }

  /** Runs a call over `wire`. `readTimeout` gives what the client asked for, in milliseconds. */
  serve(exchange: ServerExchange, served: ServedMethod, wire: ServerWire, readTimeout: () => number | undefined): void {
    if (connectionLoad(exchange).handlers >= this.#handlersPerConnectionMax) {
      discardBody(exchange);
      exchange.reset("refuse");
      return;
    }
    const call = new ServerCall(this, exchange, served, wire);
    exchange.receiver = call;
    try {
      call.begin(readTimeout());
    } catch (error) {
      call.fail(asRpcError(error));
    }
  }

  #connectGet(exchange: ServerExchange, served: ServedMethod): void {
    if (served.method.kind !== "unary" || served.method.idempotency !== "no_side_effects") {
      this.#wrongRequest(exchange, served);
      return;
    }
    const request = readConnectGet(exchange.path.value);
    if (request instanceof RpcError) {
      discardBody(exchange);
      exchange.respond(
        codeRow(request.code).connectHttp,
        jsonType,
        JSON.stringify({ code: request.code, message: request.message }),
      );
      return;
    }
    const limit = served.method.policy.requestBytesMax ?? this.receiveBytesMax;
    const wire = new ConnectUnaryServerWire(request.codec, request.encoding, limit, request.message);
    this.serve(exchange, served, wire, () => connectTimeout(exchange));
  }

  #unknownMethod(exchange: ServerExchange, wire: ServerWire): void {
    const path = exchange.path.value;
    const method = this.#methods.values().next().value?.method;
    discardBody(exchange);
    if (method === undefined) {
      exchange.respond(404, textType, `nothing is served at ${path}`);
      return;
    }
    const call = new ServerCall(this, exchange, { method, handler: () => undefined }, wire);
    call.fail(new RpcError("unimplemented", `${path} is not served here`));
  }

  /** A path of ours with a verb or content type that no protocol has (Connect: 405 and 415). */
  #wrongRequest(exchange: ServerExchange, served: ServedMethod): void {
    discardBody(exchange);
    const allowsGet = served.method.kind === "unary" && served.method.idempotency === "no_side_effects";
    if (exchange.method !== "POST") {
      exchange.respond(
        405,
        [new HeaderField("allow", allowsGet ? "GET, POST" : "POST"), ...textType],
        "method not allowed",
      );
      return;
    }
    const accepted = [
      ...["", "+proto", "+json"].flatMap(codec => [`application/grpc${codec}`, `application/grpc-web${codec}`]),
      ...(served.method.kind === "unary"
        ? ["application/proto", "application/json"]
        : ["application/connect+proto", "application/connect+json"]),
    ];
    exchange.respond(
      415,
      [new HeaderField("accept-post", accepted.join(", ")), ...textType],
      "unsupported content type",
    );
  }

  #http(exchange: ServerExchange): boolean {
    for (const handler of this.#options.http ?? []) if (handler(exchange, this)) return true;
    return false;
  }
}

/** Who asks whether a server lives, or what it serves, is answered under any load: a probe must not restart it for that. */
const answersAlways = /^\/grpc\.(health|reflection)\./;

const grpcWires = { grpc: GrpcServerWire, "grpc-web": GrpcWebServerWire, "grpc-web-text": GrpcWebTextServerWire };

function isGrpc(kind: RpcContentType["kind"]): kind is keyof typeof grpcWires {
  return kind in grpcWires;
}

function connectTimeout(exchange: ServerExchange): number | undefined {
  const timeout = exchange.fields.get("connect-timeout-ms");
  return timeout === undefined ? undefined : readConnectTimeout(timeout);
}
