import { type ExchangeError, HeaderField, type ServerExchange } from "../../wire/index.ts";
import { discardBody, type HttpHandler, type RpcServer } from "../rpc/index.ts";

/** A web-standard handler, such as `app.fetch` of a Hono application. */
export type FetchHandler = (request: Request) => Response | Promise<Response>;

/** A web-standard handler threw; the caller saw 500. */
export interface FetchHandlerFailed {
  readonly type: "http.handler.failed";
  readonly path: string;
  readonly error: unknown;
}

/** Fields that belong to a connection, or that the wire writes itself. */
const ours = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-connection",
  "transfer-encoding",
  "upgrade",
]);

/** Gives every request to `handle`. Bodies stream both ways with back-pressure; `request.signal` hears of a caller that left. */
export function fetchHandler(handle: FetchHandler): HttpHandler {
  return (exchange, server) => {
    const body = new RequestBody(exchange);
    let request: Request;
    try {
      request = requestOf(exchange, body);
    } catch {
      // Methods that the standard forbids (TRACE), an authority that is no host.
      discardBody(exchange);
      exchange.respond(400, [], undefined);
      return true;
    }
    exchange.receiver = body;
    void serve(exchange, server, handle, request, body);
    return true;
  };
}

function requestOf(exchange: ServerExchange, body: RequestBody): Request {
  const { method, scheme, authority, path, fields } = exchange;
  const headers = new Headers();
  for (const { name, value } of fields) if (!ours.has(name) || name === "content-length") headers.append(name, value);
  const hasBody = !exchange.bodyIsAbsent && method !== "GET" && method !== "HEAD";
  const url = `${scheme}://${authority === "" ? "localhost" : authority}${path.value}`;
  return new Request(url, {
    method,
    headers,
    signal: body.signal,
    ...(hasBody ? { body: body.stream, duplex: "half" } : {}),
  } as RequestInit);
}

async function serve(
  exchange: ServerExchange,
  server: RpcServer,
  handle: FetchHandler,
  request: Request,
  body: RequestBody,
): Promise<void> {
  server.started();
  try {
    const response = await handle(request);
    if (!(response instanceof Response)) throw new TypeError(`the fetch handler returned ${String(response)}`);
    await send(exchange, response, body);
  } catch (error) {
    const event: FetchHandlerFailed = { type: "http.handler.failed", path: exchange.path.value, error };
    if (!body.isAborted) server.observer.emit(event);
    if (body.isAborted) return;
    if (exchange.headSent) exchange.reset("error");
    else exchange.respond(500, [], undefined);
  } finally {
    body.finish();
    server.ended();
  }
}

async function send(exchange: ServerExchange, response: Response, body: RequestBody): Promise<void> {
  const fields: HeaderField[] = [];
  for (const [name, value] of response.headers) if (!ours.has(name)) fields.push(new HeaderField(name, value));
  if (response.body === null || body.isAborted) {
    if (!body.isAborted) exchange.respond(response.status, fields, undefined);
    await response.body?.cancel();
    return;
  }
  const reader = (response.body as ReadableStream<Uint8Array>).getReader();
  try {
    // One piece and no more, which is the usual answer, goes out with its length.
    let { done, value } = await reader.read();
    const first = value ?? new Uint8Array();
    if (!done) ({ done, value } = await reader.read());
    if (body.isAborted) return;
    if (done) {
      exchange.respond(response.status, fields, first);
      return;
    }
    exchange.sendHead(response.status, fields, false);
    if (exchange.method !== "HEAD") exchange.sendData(first, false);
    while (!done && exchange.method !== "HEAD") {
      exchange.sendData(value as Uint8Array, false);
      if (!exchange.isWritable) await body.untilWritable();
      if (body.isAborted) return;
      ({ done, value } = await reader.read());
    }
    if (!body.isAborted) exchange.sendTrailers([]);
  } finally {
    await reader.cancel().catch(() => {});
  }
}

/** The body of a request as a stream, pulled as fast as the handler reads. */
class RequestBody {
  readonly stream: ReadableStream<Uint8Array>;
  readonly #exchange: ServerExchange;
  readonly #abort = new AbortController();
  readonly #chunks: Uint8Array[] = [];
  #controller: ReadableStreamDefaultController<Uint8Array> | undefined;
  #wantsMore = false;
  #isEnded = false;
  #isDiscarded = false;
  #writable: (() => void) | undefined;

  constructor(exchange: ServerExchange) {
    this.#exchange = exchange;
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: controller => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wantsMore = true;
          this.#push();
        },
        cancel: () => this.#discard(),
      },
      { highWaterMark: 0 },
    );
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (this.#isDiscarded) {
      this.#exchange.consumed(end - start);
      return;
    }
    this.#chunks.push(Uint8Array.prototype.slice.call(chunk, start, end));
    this.#push();
  }

  ended(): void {
    this.#isEnded = true;
    this.#push();
  }

  aborted(error: ExchangeError): void {
    this.#abort.abort(error);
    if (!this.#isDiscarded && !this.#isEnded) this.#controller?.error(error);
    this.#wake();
  }

  writable(): void {
    this.#wake();
  }

  untilWritable(): Promise<void> {
    if (this.isAborted) return Promise.resolve();
    return new Promise(resolve => {
      this.#writable = resolve;
    });
  }

  /** The handler is done: what it has not read passes unread, and a caller that left is let go of. */
  finish(): void {
    this.#discard();
    if (this.isAborted) this.#exchange.reset("no_error");
  }

  #push(): void {
    if (!this.#wantsMore || this.#isDiscarded) return;
    const chunk = this.#chunks.shift();
    if (chunk !== undefined) {
      this.#wantsMore = false;
      this.#exchange.consumed(chunk.length);
      this.#controller?.enqueue(chunk);
    } else if (this.#isEnded) {
      this.#isDiscarded = true;
      this.#controller?.close();
    }
  }

  #discard(): void {
    if (this.#isDiscarded) return;
    this.#isDiscarded = true;
    const bytes = this.#chunks.splice(0).reduce((sum, chunk) => sum + chunk.length, 0);
    if (bytes > 0 && !this.isAborted) this.#exchange.consumed(bytes);
  }

  #wake(): void {
    const writable = this.#writable;
    this.#writable = undefined;
    writable?.();
  }
}
