import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileService, type Method, responseIsStream } from "../../contract/index.ts";
import { constantField, type HeaderField } from "../../wire/index.ts";
import { Channel, type ChannelOptions, type ClientProtocol } from "../channel/index.ts";
import type { Interceptor } from "./call.ts";
import type { CallOptions } from "./call-options.ts";
import { ClientCall, type ClientSettings } from "./client-call.ts";
import { type CallPolicy, type ClientPolicy, callPolicies } from "./client-policy.ts";
import type { ClientWire } from "./client-wire.ts";
import { compressBytesMin, type Encoding } from "./compression.ts";
import { checkHashBy } from "./hash-key.ts";
import { intercept } from "./intercept.ts";
import { type RpcLimits, rpcLimits } from "./limits.ts";
import { ConnectStreamClientWire } from "./protocols/connect/stream-client.ts";
import { ConnectUnaryClientWire } from "./protocols/connect/unary-client.ts";
import { GrpcClientWire } from "./protocols/grpc/client.ts";
import { GrpcWebClientWire } from "./protocols/grpc-web/client.ts";
import type { CodecName } from "./protocols/message.ts";

type ClientMethod<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => Promise<MessageShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => AsyncIterable<MessageShape<M["output"]>>
    : M["methodKind"] extends "client_streaming"
      ? (
          requests: AsyncIterable<MessageInitShape<M["input"]>> | Iterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => Promise<MessageShape<M["output"]>>
      : (
          requests: AsyncIterable<MessageInitShape<M["input"]>> | Iterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => AsyncIterable<MessageShape<M["output"]>>;

/** One function for each method of the service. */
export type Client<S extends DescService> = { readonly [K in keyof S["method"]]: ClientMethod<S["method"][K]> };

export interface ClientOptions extends ChannelOptions {
  /** Run around every call, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  readonly limits?: Partial<RpcLimits> | undefined;
  /**
   * What is done about calls that fail: retries, hedges, what guards the target. `false`: nothing, but for sending again
   * what certainly was not acted upon. @default retries of methods that may be repeated, on a budget; throttle; breaker
   */
  readonly policy?: ClientPolicy | false | undefined;
  /** How messages are written. @default "binary" */
  readonly codec?: CodecName | undefined;
  /** Compress what is sent. What comes may always be compressed. @default not compressed */
  readonly compression?: Encoding | undefined;
  /** Messages below this many bytes go out as they are. @default 1024 */
  readonly compressBytesMin?: number | undefined;
  /** Connect: send calls of methods without side effects as GET, so that they can be cached on the way. @default false */
  readonly useHttpGet?: boolean | undefined;
}

/**
 * A client of a service, speaking gRPC, gRPC-Web or Connect to a target (`host:port`, `dns:///host:port`,
 * `k8s:///service.namespace:port`, `static:///a:1,b:2`, `file:///path.json`) or over a channel that several clients share.
 *
 * ```ts
 * const orders = createClient(OrderService, "127.0.0.1:50051");
 * const order = await orders.getOrder({ orderId: "123" }, { timeoutMs: 500 });
 * ```
 * @throws TypeError for a target that does not parse, or options that do not fit together
 */
export function createClient<S extends DescService>(
  desc: S,
  target: string | Channel,
  options: ClientOptions = {},
): Client<S> {
  const channel = channelOf(desc, target, options);
  const settings = clientSettings(channel, options);
  const policyOf = callPolicies(channel, options.policy);
  const { methods } = compileService(desc);
  checkHashBy(channel.hashBy, desc.typeName, methods);
  const client: Record<string, unknown> = {};
  for (const method of methods) {
    const path = constantField(":path", method.path);
    const policy = policyOf(method);
    client[method.localName] = responseIsStream(method.kind)
      ? (request: unknown, callOptions: CallOptions = {}) =>
          new StreamedResponse(() => begin(settings, policy, method, path, request, callOptions))
      : (request: unknown, callOptions: CallOptions = {}) => {
          try {
            return begin(settings, policy, method, path, request, callOptions);
          } catch (error) {
            return Promise.reject(error);
          }
        };
  }
  return client as Client<S>;
}

const channelOptions = ["protocol", "httpVersion", "tls", "discovery", "balancing", "platform", "observer"] as const;

function channelOf(desc: DescService, target: string | Channel, options: ClientOptions): Channel {
  if (typeof target === "string") return new Channel(target, options);
  for (const name of channelOptions) {
    if (options[name] === undefined) continue;
    throw new TypeError(
      `createClient(${desc.typeName}): ${name} is an option of the channel; give it to createChannel`,
    );
  }
  return target;
}

/** Begins a call: resolves with the message of the answer, or with an iterable of messages where the server streams. */
export type StartCall = (request: unknown, options: CallOptions) => Promise<unknown>;

/**
 * Begins calls of any method over a channel, for adapters that look like other libraries' clients: without the types and
 * the lazy streams of {@link createClient}.
 */
export function callStarter(channel: Channel, options: ClientOptions): (desc: DescMethod) => StartCall {
  const settings = clientSettings(channel, options);
  const policyOf = callPolicies(channel, options.policy);
  const starters = new WeakMap<DescMethod, StartCall>();
  return desc => {
    let starter = starters.get(desc);
    if (starter === undefined) {
      const method = compileService(desc.parent).methods.find(compiled => compiled.desc === desc);
      if (method === undefined) throw new TypeError(`${desc.parent.typeName} has no method ${desc.name} like this one`);
      const path = constantField(":path", method.path);
      const policy = policyOf(method);
      starter = (request, callOptions) => begin(settings, policy, method, path, request, callOptions);
      starters.set(desc, starter);
    }
    return starter;
  };
}

function clientSettings(channel: Channel, options: ClientOptions): ClientSettings {
  return {
    channel,
    codec: options.codec ?? "binary",
    compression: options.compression,
    compressBytesMin: options.compressBytesMin ?? compressBytesMin,
    useHttpGet: options.useHttpGet ?? false,
    limits: rpcLimits(options.limits),
    interceptors: options.interceptors ?? [],
    openWire: openWire[channel.protocol],
  };
}

const openWire: Readonly<Record<ClientProtocol, (call: ClientCall) => ClientWire>> = {
  grpc: call => new GrpcClientWire(call),
  "grpc-web": call => new GrpcWebClientWire(call),
  connect: call =>
    call.method.kind === "unary" ? new ConnectUnaryClientWire(call) : new ConnectStreamClientWire(call),
};

function begin(
  settings: ClientSettings,
  policy: CallPolicy,
  method: Method,
  path: HeaderField,
  request: unknown,
  options: CallOptions,
): Promise<unknown> {
  const call = new ClientCall(settings, policy, method, path, options);
  const { interceptors } = settings;
  if (interceptors.length === 0) return call.start(request);
  return intercept(call, interceptors, request, passed => call.start(passed));
}

/** The messages of a response; the call begins when they are first asked for, and ends when the loop is left. */
class StreamedResponse implements AsyncIterable<unknown> {
  readonly #start: () => Promise<unknown>;

  constructor(start: () => Promise<unknown>) {
    this.#start = start;
  }

  async *[Symbol.asyncIterator](): AsyncIterator<unknown> {
    yield* (await this.#start()) as AsyncIterable<unknown>;
  }
}
