import { isRpcError, RpcError } from "../../errors/index.ts";
import {
  type ClientConnection,
  type ClientExchange,
  ExchangeError,
  type FieldList,
  type ResponseReceiver,
} from "../../wire/index.ts";
import type { Channel } from "./channel.ts";
import { connect } from "./connect.ts";
import { contentCoding, decodedBody } from "./content-coding.ts";
import type { Endpoint } from "./endpoint.ts";
import type { HttpRequest } from "./http-request.ts";
import { transparentRetries } from "./limits.ts";
import type { CallOutcome } from "./picker.ts";
import { ResponseBody } from "./response-body.ts";

/**
 * Sends a request to an endpoint of a channel. Resolves with the head of the answer; its body streams.
 * @param over told when the answer has been read, has failed or was let go of
 * @throws (rejects) RpcError; ServiceDiscoveryError; the reason of the signal
 */
export async function sendHttp(
  channel: Channel,
  request: HttpRequest,
  options: { readonly signal: AbortSignal; readonly responseBytesMax: number; readonly over: () => void },
): Promise<Response> {
  const { signal } = options;
  let failed: Endpoint | undefined;
  for (let attempt = 0; ; attempt++) {
    let exchange: HttpExchange | undefined;
    try {
      const picked = channel.pick({ failedEndpoint: failed });
      const free = picked?.pool.tryAcquire();
      // Nothing is awaited between taking a free connection and using it, so that no other request can take it too.
      const { endpoint, connection } =
        picked !== undefined && free !== undefined
          ? { endpoint: picked, connection: free }
          : await connect(channel, signal, picked);
      failed = endpoint;
      exchange = new HttpExchange(channel, endpoint, request, options);
      return await exchange.send(connection);
    } catch (error) {
      if (!(error instanceof ExchangeError)) throw error;
      // A kept HTTP/1.1 connection may be closed by its server just as a request goes out (RFC 9112, section 9.3.1).
      const isStale = error.reason === "connection" && exchange?.httpVersion === 1 && request.isIdempotent;
      const mayRepeat = exchange !== undefined && !(request.body instanceof ReadableStream) && !exchange.answerBegan;
      if (mayRepeat && attempt < transparentRetries && (error.unprocessed || isStale)) continue;
      throw callError(error, channel.target, request);
    }
  }
}

function callError(error: ExchangeError, target: string, { isIdempotent }: HttpRequest): RpcError {
  const code =
    error.reason === "protocol" ? "internal" : error.reason === "limit" ? "resource_exhausted" : "unavailable";
  return new RpcError(code, `${target}: ${error.message}`, {
    cause: error,
    unprocessed: error.unprocessed,
    // Policies must not repeat what may have had its effect.
    retryAfterMs: isIdempotent || error.unprocessed ? undefined : -1,
  });
}

/** One request and its answer on one connection. */
class HttpExchange implements ResponseReceiver {
  readonly #channel: Channel;
  readonly #endpoint: Endpoint;
  readonly #request: HttpRequest;
  readonly #options: { readonly signal: AbortSignal; readonly responseBytesMax: number; readonly over: () => void };
  readonly #response = Promise.withResolvers<Response>();
  readonly #aborted = (): void => this.#fail(this.#options.signal.reason);
  #exchange: ClientExchange | undefined;
  #body: ResponseBody | undefined;
  #sentAtMs = 0;
  /** Its endpoint has not been told yet how it went. */
  #isPending = false;
  #writable: (() => void) | undefined;
  #isUploading = false;
  answerBegan = false;
  httpVersion: 1 | 2 | undefined;

  constructor(
    channel: Channel,
    endpoint: Endpoint,
    request: HttpRequest,
    options: { readonly signal: AbortSignal; readonly responseBytesMax: number; readonly over: () => void },
  ) {
    this.#channel = channel;
    this.#endpoint = endpoint;
    this.#request = request;
    this.#options = options;
  }

  send(connection: ClientConnection): Promise<Response> {
    const { methodField, path, fields, body } = this.#request;
    const { signal } = this.#options;
    this.#sentAtMs = this.#channel.platform.clock.now();
    this.httpVersion = connection.httpVersion;
    const isEmpty = body === undefined;
    const head = {
      method: methodField,
      scheme: this.#channel.scheme,
      authority: this.#endpoint.authority,
      path,
      contentLength: body instanceof Uint8Array ? body.length : undefined,
    };
    const exchange = connection.request(head, fields, this, isEmpty);
    this.#exchange = exchange;
    this.#channel.begun(this.#endpoint);
    this.#isPending = true;
    signal.addEventListener("abort", this.#aborted, { once: true });
    if (body instanceof Uint8Array) exchange.sendData(body, true);
    else if (body !== undefined) void this.#upload(exchange, body);
    return this.#response.promise;
  }

  async #upload(exchange: ClientExchange, body: ReadableStream<Uint8Array>): Promise<void> {
    this.#isUploading = true;
    const reader = body.getReader();
    try {
      for (;;) {
        const { done, value } = await reader.read();
        if (!this.#isUploading) break;
        if (done) {
          this.#isUploading = false;
          exchange.sendTrailers([]);
          return;
        }
        exchange.sendData(value, false);
        if (!exchange.isWritable) {
          await new Promise<void>(resolve => {
            this.#writable = resolve;
          });
        }
      }
      await reader.cancel(new Error("the answer came before the end of the request"));
    } catch (cause) {
      this.#fail(new RpcError("cancelled", "the body of the request failed", { cause }));
    }
  }

  head(status: number, fields: FieldList): void {
    const exchange = this.#exchange;
    if (exchange === undefined) return;
    this.answerBegan = true;
    this.#settled(status >= 500 ? "failure" : "success");
    const { responseBytesMax } = this.#options;
    const headers = new Headers();
    const hasNoBody = status === 204 || status === 205 || status === 304 || this.#request.method === "HEAD";
    this.#body = new ResponseBody(exchange, responseBytesMax, () => this.#over());
    try {
      for (const { name, value } of fields) headers.append(name, value);
      const length = Number(headers.get("content-length") ?? 0);
      if (!hasNoBody && length > responseBytesMax) {
        const text = `the body of the answer has ${length} bytes, at most ${responseBytesMax} are taken; responseBytesMax sets the limit`;
        throw new RpcError("resource_exhausted", text);
      }
      const body = hasNoBody ? null : this.#decoded(this.#body.stream, headers);
      this.#response.resolve(new Response(body, { status, headers }));
    } catch (cause) {
      const error = new RpcError("internal", `the answer ${status} cannot be shown as a Response`, { cause });
      this.#fail(cause instanceof RpcError ? cause : error);
    }
    // Nobody can read or let go of a body that is not there.
    if (hasNoBody) this.#body.discard();
  }

  /** The body as the server's application made it; `headers` then say of it what is true of it. */
  #decoded(body: ReadableStream<Uint8Array>, headers: Headers): ReadableStream<Uint8Array> {
    const coding = this.#request.decodes ? contentCoding(headers.get("content-encoding")) : undefined;
    if (coding === undefined) return body;
    headers.delete("content-encoding");
    headers.delete("content-length");
    const what = `${this.#request.method} ${this.#request.path.value} at ${this.#channel.target}`;
    return decodedBody(body, coding, this.#options.responseBytesMax, what);
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (this.#body !== undefined) this.#body.data(chunk, start, end);
    else this.#exchange?.consumed(end - start);
  }

  ended(): void {
    this.#body?.complete();
    const exchange = this.#exchange;
    // What is still on its way to a server that has answered is of no use any more.
    if (this.#isUploading && exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.#stopUpload();
  }

  aborted(error: ExchangeError): void {
    if (error.reason === "connection") this.#channel.connectionFailed();
    this.#settled("failure", error.reason === "connection" ? error : undefined);
    this.#body?.fail(callError(error, this.#channel.target, this.#request));
    this.#response.reject(error);
    this.#over();
    this.#stopUpload();
  }

  writable(): void {
    const writable = this.#writable;
    this.#writable = undefined;
    writable?.();
  }

  /** The caller, the deadline or the body of the request ended it. */
  #fail(error: unknown): void {
    // No answer in time is the endpoint's fault; whatever else ends a request before its answer is the caller's, who may have
    // been slow to send it.
    const outcome = this.#isUploading ? "ignored" : "unanswered";
    this.#settled(isRpcError(error, "deadline_exceeded") ? "failure" : outcome);
    this.#response.reject(error);
    this.#body?.fail(error);
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
    this.#over();
    this.#stopUpload();
  }

  #settled(outcome: CallOutcome, cause?: unknown): void {
    if (!this.#isPending) return;
    this.#isPending = false;
    const nowMs = this.#channel.platform.clock.now();
    this.#channel.settled(this.#endpoint, nowMs - this.#sentAtMs, outcome, nowMs, 0, cause);
  }

  #over(): void {
    this.#options.signal.removeEventListener("abort", this.#aborted);
    if (this.answerBegan) this.#options.over();
  }

  #stopUpload(): void {
    this.#isUploading = false;
    this.writable();
  }
}
