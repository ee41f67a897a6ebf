import type { DescMethod, DescService, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileService, type Method, responseIsStream } from "../../contract/index.ts";
import { constantField, type HeaderField } from "../../wire/index.ts";
import { Channel, type ChannelOptions } from "../channel/index.ts";
import type { Interceptor } from "./call.ts";
import { type CallOptions, ClientCall } from "./client-call.ts";
import { type RpcLimits, rpcLimits } from "./limits.ts";

type ClientMethod<M extends DescMethod> = M["methodKind"] extends "unary"
  ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => Promise<MessageShape<M["output"]>>
  : M["methodKind"] extends "server_streaming"
    ? (request: MessageInitShape<M["input"]>, options?: CallOptions) => AsyncIterable<MessageShape<M["output"]>>
    : M["methodKind"] extends "client_streaming"
      ? (
          requests: AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => Promise<MessageShape<M["output"]>>
      : (
          requests: AsyncIterable<MessageInitShape<M["input"]>>,
          options?: CallOptions,
        ) => AsyncIterable<MessageShape<M["output"]>>;

/** One function for each method of the service. */
export type Client<S extends DescService> = { readonly [K in keyof S["method"]]: ClientMethod<S["method"][K]> };

export interface ClientOptions extends ChannelOptions {
  /** Run around every call, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  readonly limits?: Partial<RpcLimits> | undefined;
}

/**
 * A client of a service, speaking gRPC to a target (`host:port`, `dns:///host:port`, `static:///a:1,b:2`) or over a
 * channel that several clients share.
 *
 * ```ts
 * const orders = createClient(OrderService, "127.0.0.1:50051");
 * const order = await orders.getOrder({ orderId: "123" }, { timeoutMs: 500 });
 * ```
 * @throws TypeError for a target that does not parse
 */
export function createClient<S extends DescService>(
  desc: S,
  target: string | Channel,
  options: ClientOptions = {},
): Client<S> {
  const channel = typeof target === "string" ? new Channel(target, options) : target;
  const limits = { ...rpcLimits, ...options.limits };
  const client: Record<string, unknown> = {};
  for (const method of compileService(desc).methods) {
    const path = constantField(":path", method.path);
    client[method.localName] = responseIsStream(method.kind)
      ? (request: unknown, callOptions: CallOptions = {}) =>
          new StreamedResponse(() =>
            begin(channel, method, path, request, callOptions, options.interceptors ?? [], limits),
          )
      : (request: unknown, callOptions: CallOptions = {}) =>
          begin(channel, method, path, request, callOptions, options.interceptors ?? [], limits);
  }
  return client as Client<S>;
}

function begin(
  channel: Channel,
  method: Method,
  path: HeaderField,
  request: unknown,
  options: CallOptions,
  interceptors: readonly Interceptor[],
  limits: RpcLimits,
): Promise<unknown> {
  const call = new ClientCall(channel, method, path, options, limits.messageBytesMax);
  if (interceptors.length === 0) return call.start(request, limits.defaultTimeoutMs);
  const intercept = async (index: number, passed: unknown): Promise<unknown> => {
    call.request = passed;
    const interceptor = interceptors[index];
    if (interceptor === undefined) return call.start(passed, limits.defaultTimeoutMs);
    return interceptor(call, (replaced = passed) => intercept(index + 1, replaced));
  };
  return intercept(0, request);
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
