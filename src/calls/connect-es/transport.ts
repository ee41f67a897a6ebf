import type { DescMessage, DescMethod, DescMethodStreaming, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import {
  Code,
  ConnectError,
  type ContextValues,
  createContextValues,
  type Interceptor,
  type StreamResponse,
  type Transport,
  type UnaryResponse,
} from "@connectrpc/connect";
import { createMethodUrl, runStreamingCall, runUnaryCall } from "@connectrpc/connect/protocol";
import type { Channel } from "../channel/index.ts";
import { type CallOptions, callStarter, type Metadata, type StartCall } from "../rpc/index.ts";
import { connectErrorOf } from "./connect-error.ts";
import { appendMetadata, type HeadersSource, headersOfMetadata, metadataOfHeaders } from "./headers.ts";
import { singleMessage, streamedAnswer } from "./streamed-answer.ts";
import { destinationOf, type TransportOptions, type TransportOptionsWithBaseUrl } from "./transport-options.ts";

/** A connect-es `Transport` with its connections. */
export interface ChannelTransport extends Transport, AsyncDisposable {
  /** Lets running calls finish, then closes the connections; a channel that was given stays open. */
  drain(): Promise<void>;
  /** Ends the connections and the calls on them; a channel that was given stays open. */
  close(): void;
}

/**
 * A transport for `createClient` of `@connectrpc/connect`, over our connections: gRPC unless `protocol` says otherwise.
 * The target is one of ours (`host:port`, `dns:///…`, `static:///…`), `http://host:port`, `https://host:port`, a channel
 * that several clients share, or options with a `baseUrl` as connect-es's own transports take them.
 *
 * Every failure is a `ConnectError`.
 *
 * ```ts
 * const client = createClient(ElizaService, createTransport("http://127.0.0.1:8080"));
 * ```
 * @throws TypeError for a target that does not parse, for options that do not fit together, and for options of connect-es
 * that would have no effect
 */
export function createTransport(options: TransportOptionsWithBaseUrl): ChannelTransport;
export function createTransport(target: string | Channel, options?: TransportOptions): ChannelTransport;
export function createTransport(
  target: string | Channel | TransportOptionsWithBaseUrl,
  options: TransportOptions = {},
): ChannelTransport {
  if (typeof target === "object" && "baseUrl" in target) {
    const { baseUrl, ...rest } = target;
    return new TrunklineTransport(String(baseUrl), rest);
  }
  return new TrunklineTransport(target, options);
}

class TrunklineTransport implements ChannelTransport {
  readonly #channel: Channel;
  readonly #isOwned: boolean;
  readonly #baseUrl: string;
  readonly #interceptors: Interceptor[];
  readonly #defaultTimeoutMs: number | undefined;
  readonly #starterOf: (method: DescMethod) => StartCall;

  constructor(target: string | Channel, options: TransportOptions) {
    const { channel, isOwned, baseUrl } = destinationOf(target, options);
    this.#channel = channel;
    this.#isOwned = isOwned;
    this.#baseUrl = baseUrl;
    this.#interceptors = [...(options.interceptors ?? [])];
    this.#defaultTimeoutMs = grantedMs(options.defaultTimeoutMs);
    this.#starterOf = callStarter(channel, { ...options, interceptors: [] });
  }

  async unary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersSource,
    input: Parameters<Transport["unary"]>[4],
    contextValues?: ContextValues,
  ): Promise<UnaryResponse<I, O>> {
    const deadlineMs = timeoutMs === undefined ? this.#defaultTimeoutMs : grantedMs(timeoutMs);
    // Hot path: without interceptors nobody sees the signal, the headers or the normalised message of runUnaryCall.
    if (this.#interceptors.length === 0) return this.#callUnary(method, signal, deadlineMs, header, input);
    try {
      return (await runUnaryCall({
        interceptors: this.#interceptors,
        ...(signal === undefined ? {} : { signal }),
        ...runTimeout(deadlineMs),
        req: { ...this.#request(method, header, contextValues), method, stream: false, message: input as never },
        next: request =>
          this.#callUnary(request.method, request.signal, deadlineMs, request.header, request.message) as never,
      })) as UnaryResponse<I, O>;
    } catch (error) {
      throw connectErrorOf(error);
    }
  }

  async #callUnary<I extends DescMessage, O extends DescMessage>(
    method: DescMethodUnary<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersSource,
    input: unknown,
  ): Promise<UnaryResponse<I, O>> {
    const arrived = new Arrived();
    let message: unknown;
    try {
      message = await this.#starterOf(method)(input, callOptions(arrived, signal, timeoutMs, header));
    } catch (error) {
      throw connectErrorOf(error);
    }
    return {
      stream: false,
      service: method.parent,
      method,
      message: message as MessageShape<O>,
      // Made when somebody looks. Own properties, because interceptors copy answers by spreading them.
      get header() {
        return arrived.header;
      },
      get trailer() {
        return arrived.trailer;
      },
    };
  }

  async stream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersSource,
    input: Parameters<Transport["stream"]>[4],
    contextValues?: ContextValues,
  ): Promise<StreamResponse<I, O>> {
    const deadlineMs = timeoutMs === undefined ? this.#defaultTimeoutMs : grantedMs(timeoutMs);
    // Hot path: a server's stream without interceptors has no request iterable to end, and nobody to show a signal to.
    if (this.#interceptors.length === 0 && method.methodKind === "server_streaming") {
      return this.#callStream(method, signal, deadlineMs, header, input);
    }
    try {
      return (await runStreamingCall({
        interceptors: this.#interceptors,
        ...(signal === undefined ? {} : { signal }),
        ...runTimeout(deadlineMs),
        req: { ...this.#request(method, header, contextValues), method, stream: true, message: input as never },
        next: request =>
          this.#callStream(request.method, request.signal, deadlineMs, request.header, request.message) as never,
      })) as StreamResponse<I, O>;
    } catch (error) {
      throw connectErrorOf(error);
    }
  }

  async #callStream<I extends DescMessage, O extends DescMessage>(
    method: DescMethodStreaming<I, O>,
    signal: AbortSignal | undefined,
    timeoutMs: number | undefined,
    header: HeadersSource,
    input: AsyncIterable<unknown>,
  ): Promise<StreamResponse<I, O>> {
    const arrived = new Arrived();
    try {
      const request = method.methodKind === "server_streaming" ? await singleMessage(input, method) : input;
      const options = callOptions(arrived, signal, timeoutMs, header);
      const answer = await this.#starterOf(method)(request, options);
      const message = await streamedAnswer(method, answer, arrived.headArrived.promise);
      return {
        stream: true,
        service: method.parent,
        method,
        header: arrived.header,
        trailer: arrived.trailer,
        message: message as AsyncIterable<MessageShape<O>>,
      };
    } catch (error) {
      throw connectErrorOf(error);
    }
  }

  #request(method: DescMethod, header: HeadersSource, contextValues: ContextValues | undefined) {
    return {
      service: method.parent,
      requestMethod: "POST",
      url: createMethodUrl(this.#baseUrl, method),
      header: new Headers(header),
      contextValues: contextValues ?? createContextValues(),
    };
  }

  async drain(): Promise<void> {
    if (this.#isOwned) await this.#channel.drain();
  }

  close(): void {
    if (this.#isOwned) this.#channel.close();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.drain();
  }
}

/** connect-es: 0 and below is no deadline at all. */
function grantedMs(timeoutMs: number | undefined): number | undefined {
  return timeoutMs !== undefined && timeoutMs <= 0 ? Number.POSITIVE_INFINITY : timeoutMs;
}

/** Interceptors' signals have the deadline as well. */
function runTimeout(deadlineMs: number | undefined): { timeoutMs?: number } {
  return deadlineMs === undefined || deadlineMs === Number.POSITIVE_INFINITY ? {} : { timeoutMs: deadlineMs };
}

function callOptions(
  arrived: Arrived,
  signal: AbortSignal | undefined,
  timeoutMs: number | undefined,
  header: HeadersSource,
): CallOptions {
  return {
    signal,
    timeoutMs,
    metadata: header === undefined ? undefined : requestMetadata(header),
    onHeaders: arrived.onHeaders,
    onTrailers: arrived.onTrailers,
  };
}

function requestMetadata(header: HeadersSource): Metadata {
  try {
    return metadataOfHeaders(header instanceof Headers ? header : new Headers(header));
  } catch (error) {
    throw new ConnectError((error as Error).message, Code.InvalidArgument, undefined, undefined, error);
  }
}

/** Headers and trailers of an answer, as far as they have come. */
class Arrived {
  readonly headArrived = Promise.withResolvers<void>();
  #headers: Metadata | undefined;
  #trailers: Metadata | undefined;
  #header: Headers | undefined;
  #trailer: Headers | undefined;

  readonly onHeaders = (headers: Metadata): void => {
    this.#headers = headers;
    this.headArrived.resolve();
  };

  readonly onTrailers = (trailers: Metadata): void => {
    if (this.#trailer === undefined) this.#trailers = trailers;
    else appendMetadata(this.#trailer, trailers);
  };

  get header(): Headers {
    this.#header ??= headersOfMetadata(this.#headers ?? []);
    return this.#header;
  }

  /** The same object for the whole call: of a stream, it is filled at the end. */
  get trailer(): Headers {
    this.#trailer ??= headersOfMetadata(this.#trailers ?? []);
    return this.#trailer;
  }
}
