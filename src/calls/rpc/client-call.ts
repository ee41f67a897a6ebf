import { type Method, requestIsStream, responseIsStream } from "../../contract/index.ts";
import { codeFromHttp, RpcError } from "../../errors/index.ts";
import { contextValue, type Timer } from "../../platform/index.ts";
import {
  type ClientConnection,
  type ClientExchange,
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  type RequestHead,
  type ResponseReceiver,
} from "../../wire/index.ts";
import type { Channel, Endpoint } from "../channel/index.ts";
import { CallState, currentCall, type Peer } from "./call.ts";
import { acceptedEncodings, decompress } from "./compression.ts";
import { EnvelopeReader, type EnvelopeSink, envelopeBytes } from "./envelope.ts";
import { MessageQueue } from "./message-queue.ts";
import { appendFields, Metadata, type MetadataInit, metadataFromFields } from "./metadata.ts";
import { compressedFlag, decodeMessage, writeEnvelope } from "./protocols/enveloped.ts";
import { readStatus } from "./protocols/grpc-status.ts";
import { grpcTimeoutField } from "./protocols/timeout.ts";

export interface CallOptions {
  /** Milliseconds until the deadline. @default what is left of the call that is being served, otherwise 30,000 (unary) */
  readonly timeoutMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly metadata?: MetadataInit | undefined;
  readonly onHeaders?: ((headers: Metadata) => void) | undefined;
  readonly onTrailers?: ((trailers: Metadata) => void) | undefined;
}

const post = new HeaderField(":method", "POST");
const te = constantField("te", "trailers");
const contentType = constantField("content-type", "application/grpc+proto");
const accepts = constantField("grpc-accept-encoding", acceptedEncodings.join(","));
const fixed: readonly HeaderField[] = [te, contentType, accepts];

/** How often a request that certainly was not acted upon is sent again without asking anybody (gRPC A6). */
const transparentRetries = 3;

/** One call on the client, spoken as gRPC over HTTP/2. */
export class ClientCall extends CallState implements ResponseReceiver, EnvelopeSink {
  override readonly side = "client";
  readonly #channel: Channel;
  readonly #options: CallOptions;
  readonly #limit: number;
  readonly #path: HeaderField;
  #metadata: Metadata | undefined;
  #endpoint: Endpoint | undefined;
  #connection: ClientConnection | undefined;
  #exchange: ClientExchange | undefined;
  #reader: EnvelopeReader;
  #encoding: string | undefined;
  #timer: Timer | undefined;
  #cancelled: (() => void) | undefined;
  #message: unknown;
  #messages = 0;
  #headError: RpcError | undefined;
  #trailersOnly: FieldList | undefined;
  #isSettled = false;
  #attempts = 0;
  #requestIsUsed = false;
  #queue: MessageQueue | undefined;
  #resolve: ((response: unknown) => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #drained: (() => void) | undefined;

  constructor(channel: Channel, method: Method, path: HeaderField, options: CallOptions, limit: number) {
    super(method, "grpc", channel.platform.clock);
    this.#channel = channel;
    this.#options = options;
    this.#limit = limit;
    this.#path = path;
    this.#reader = new EnvelopeReader(limit);
  }

  get peer(): Peer {
    const info = this.#connection?.info;
    return { address: info?.remoteAddress ?? "", port: info?.remotePort ?? 0, tls: info?.tls };
  }

  get metadata(): Metadata {
    this.#metadata ??= new Metadata(this.#options.metadata);
    return this.#metadata;
  }

  /** Sends the request. Resolves with the response message, or with an iterable of messages where the server streams. */
  start(request: unknown, defaultTimeoutMs: number): Promise<unknown> {
    this.request = request;
    this.#setDeadline(defaultTimeoutMs);
    const isStream = responseIsStream(this.method.kind);
    const promise = new Promise<unknown>((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    if (isStream) {
      this.#queue = new MessageQueue(
        bytes => this.#exchange?.consumed(bytes),
        () => this.fail(new RpcError("cancelled", "the caller stopped reading")),
      );
      this.#resolve?.(this.#queue);
    }
    this.#watchSignal();
    if (!this.#isSettled) this.#begin();
    return promise;
  }

  #setDeadline(defaultTimeoutMs: number): void {
    const inherited = contextValue(currentCall)?.timeLeftMs ?? Number.POSITIVE_INFINITY;
    const { timeoutMs } = this.#options;
    if (timeoutMs !== undefined && !(timeoutMs >= 0)) {
      throw new TypeError(`timeoutMs is ${timeoutMs}; it must be 0 or more`);
    }
    const own =
      timeoutMs ??
      this.method.policy.timeoutMs ??
      (this.method.kind === "unary" ? defaultTimeoutMs : Number.POSITIVE_INFINITY);
    const grantedMs = Math.min(own, inherited);
    if (grantedMs === Number.POSITIVE_INFINITY) return;
    this.deadlineAt = this.clock.now() + grantedMs;
    this.#timer = this.clock.after(grantedMs, () =>
      this.fail(new RpcError("deadline_exceeded", `${this.method.path} took longer than its deadline`)),
    );
  }

  #watchSignal(): void {
    const { signal } = this.#options;
    if (signal === undefined) return;
    this.#cancelled = () => this.fail(new RpcError("cancelled", "the call was cancelled", { cause: signal.reason }));
    if (signal.aborted) this.#cancelled();
    else signal.addEventListener("abort", this.#cancelled, { once: true });
  }

  #begin(): void {
    this.#attempts++;
    const endpoint = this.#channel.pick();
    this.#endpoint = endpoint;
    const connection = endpoint.pool.tryAcquire();
    if (connection !== undefined) {
      this.#send(connection);
      return;
    }
    const timeLeft = this.timeLeftMs;
    endpoint.pool.acquire(timeLeft === Number.POSITIVE_INFINITY ? {} : { timeoutMs: Math.max(1, timeLeft) }).then(
      acquired => {
        if (!this.#isSettled) this.#send(acquired);
      },
      (error: unknown) => {
        const reason = error instanceof Error ? error.message : String(error);
        this.fail(
          new RpcError("unavailable", `${this.#channel.target}: ${reason}`, { cause: error, unprocessed: true }),
        );
      },
    );
  }

  #send(connection: ClientConnection): void {
    this.#connection = connection;
    const head: RequestHead = {
      method: post,
      scheme: this.#channel.scheme,
      authority: (this.#endpoint as Endpoint).authority, // set by #begin
      path: this.#path,
    };
    const exchange = connection.request(head, this.#fields(), this, false);
    this.#exchange = exchange;
    if (requestIsStream(this.method.kind)) {
      void this.#sendAll(exchange);
      return;
    }
    try {
      writeEnvelope(exchange, this.method.input, "binary", this.request as object, true, this.#limit);
    } catch (error) {
      exchange.reset("cancel");
      this.fail(
        error instanceof RpcError
          ? error
          : new RpcError(
              "invalid_argument",
              `${this.method.input.typeName} does not encode: ${(error as Error).message}`,
              { cause: error },
            ),
      );
    }
  }

  #fields(): readonly HeaderField[] {
    const hasMetadata = this.#metadata !== undefined || this.#options.metadata !== undefined;
    const timeLeft = this.timeLeftMs;
    if (timeLeft === Number.POSITIVE_INFINITY && !hasMetadata) return fixed;
    const fields = [te, contentType, accepts];
    if (timeLeft !== Number.POSITIVE_INFINITY) fields.push(grpcTimeoutField(timeLeft));
    if (hasMetadata) appendFields(fields, this.metadata);
    return fields;
  }

  async #sendAll(exchange: ClientExchange): Promise<void> {
    this.#requestIsUsed = true;
    try {
      for await (const message of this.request as AsyncIterable<object>) {
        if (this.#isSettled) return;
        writeEnvelope(exchange, this.method.input, "binary", message, false, this.#limit);
        if (!exchange.isWritable) {
          await new Promise<void>(resolve => {
            this.#drained = resolve;
          });
        }
      }
      if (!this.#isSettled) exchange.sendTrailers([]);
    } catch (error) {
      this.fail(
        error instanceof RpcError ? error : new RpcError("cancelled", "the request's iterable threw", { cause: error }),
      );
    }
  }

  // ── from the wire ────────────────────────────────────────────────────────

  head(status: number, fields: FieldList): void {
    if (status !== 200) {
      this.#headError = new RpcError(
        codeFromHttp(status),
        `${this.#channel.target} answered with HTTP status ${status}`,
      );
      return;
    }
    const type = fields.get("content-type") ?? "";
    if (!type.startsWith("application/grpc")) {
      this.#headError = new RpcError(
        "unknown",
        `${this.#channel.target} answered with content type ${JSON.stringify(type)}`,
      );
      return;
    }
    if (fields.find("grpc-status") !== undefined) this.#trailersOnly = fields;
    const encoding = fields.get("grpc-encoding");
    this.#encoding = encoding === "identity" ? undefined : encoding;
    if (this.#options.onHeaders !== undefined) {
      this.responseHeaders = metadataFromFields(fields);
      this.#options.onHeaders(this.responseHeaders);
    }
  }

  data(chunk: Buffer, start: number, end: number): void {
    const exchange = this.#exchange as ClientExchange; // answers come after request() returned
    if (this.#queue === undefined || this.#isSettled || this.#headError !== undefined) exchange.consumed(end - start);
    if (this.#isSettled || this.#headError !== undefined) return;
    try {
      this.#reader.read(chunk, start, end, this);
    } catch (error) {
      exchange.reset("cancel");
      this.fail(error as RpcError);
    }
  }

  envelope(flags: number, bytes: Buffer, start: number, end: number): void {
    this.#messages++;
    let plain = bytes;
    let from = start;
    let to = end;
    if (flags === compressedFlag && this.#encoding !== undefined) {
      plain = decompress(this.#encoding, bytes.subarray(start, end), this.#limit);
      from = 0;
      to = plain.length;
    } else if (flags !== 0) {
      throw new RpcError("internal", `a message has the flags 0x${flags.toString(16)}, which were not announced`);
    }
    const message = decodeMessage(this.method.output, "binary", plain, from, to);
    if (this.#queue !== undefined) this.#queue.push(message, end - start + envelopeBytes);
    else this.#message = message;
  }

  ended(trailers: FieldList | undefined): void {
    const statusFields = this.#trailersOnly ?? trailers;
    if (this.#headError !== undefined) {
      this.fail(this.#headError);
      return;
    }
    if (statusFields === undefined) {
      this.fail(new RpcError("internal", "the answer ended without grpc-status"));
      return;
    }
    if (this.#options.onTrailers !== undefined) {
      this.responseTrailers = metadataFromFields(statusFields);
      this.#options.onTrailers(this.responseTrailers);
    }
    const error = readStatus(statusFields);
    if (error !== undefined) this.fail(error);
    else if (!this.#reader.isAtBoundary) this.fail(new RpcError("internal", "the answer ended inside a message"));
    else if (this.#queue !== undefined) this.#succeed();
    else if (this.#messages !== 1) {
      this.fail(
        new RpcError("unimplemented", `${this.method.path} answered with ${this.#messages} messages instead of one`),
      );
    } else this.#succeed();
  }

  aborted(error: ExchangeError): void {
    if (error.unprocessed && this.#attempts <= transparentRetries && !this.#requestIsUsed && !this.#isSettled) {
      this.#exchange = undefined;
      this.#begin();
      return;
    }
    this.fail(rpcErrorOf(error, this.#channel.target));
  }

  writable(): void {
    const drained = this.#drained;
    this.#drained = undefined;
    drained?.();
  }

  // ── the outcome ──────────────────────────────────────────────────────────

  #succeed(): void {
    if (!this.#settle()) return;
    if (this.#queue !== undefined) this.#queue.end();
    else this.#resolve?.(this.#message);
  }

  /** Ends the call with an error; the first outcome stays. */
  fail(error: RpcError): void {
    if (!this.#settle()) return;
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.abortSignal(error);
    if (this.#queue !== undefined) this.#queue.end(error);
    else this.#reject?.(error);
    this.writable();
  }

  #settle(): boolean {
    if (this.#isSettled) return false;
    this.#isSettled = true;
    this.#timer?.cancel();
    if (this.#cancelled !== undefined) this.#options.signal?.removeEventListener("abort", this.#cancelled);
    return true;
  }
}

/** gRPC's mapping of HTTP/2 error codes (PROTOCOL-HTTP2, "Errors"). */
function rpcErrorOf(error: ExchangeError, target: string): RpcError {
  const options = { cause: error, unprocessed: error.unprocessed };
  const message = `${target}: ${error.message}`;
  if (error.reason === "reset") {
    switch (error.http2Code) {
      case 0x7:
        return new RpcError("unavailable", message, options);
      case 0x8:
        return new RpcError("cancelled", message, options);
      case 0xb:
        return new RpcError("resource_exhausted", message, options);
      case 0xc:
        return new RpcError("permission_denied", message, options);
      default:
        return new RpcError("internal", message, options);
    }
  }
  if (error.reason === "protocol") return new RpcError("internal", message, options);
  if (error.reason === "limit") return new RpcError("resource_exhausted", message, options);
  return new RpcError("unavailable", message, options);
}
