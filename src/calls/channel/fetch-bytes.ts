import { type Observer, type Platform, silentObserver, type TlsClientOptions } from "../../platform/index.ts";
import {
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  openPool,
  type ResponseReceiver,
} from "../../wire/index.ts";

export interface FetchBytesOptions {
  readonly platform: Platform;
  readonly observer?: Observer | undefined;
  /** For `https:` URLs: roots and client certificate. @default the system's roots */
  readonly tls?: TlsClientOptions | undefined;
  /** From beginning to connect to the last byte. */
  readonly timeoutMs: number;
  /** A longer body is an error, and not read to its end. */
  readonly bytesMax: number;
  /** Media types that are wanted. @default any */
  readonly accept?: string | undefined;
}

export interface FetchedBytes {
  readonly status: number;
  readonly fields: FieldList;
  readonly body: Buffer;
}

const get = new HeaderField(":method", "GET");
const identity = constantField("accept-encoding", "identity");

/**
 * Reads a small document over HTTP/1.1 or, where a TLS server offers it, HTTP/2. One request on a connection of its own:
 * for what is read once in minutes, such as keys. Redirects are not followed.
 * @throws (rejects) an Error that names the URL without its query: no connection, no answer in time, too long
 */
export async function fetchBytes(url: URL, options: FetchBytesOptions): Promise<FetchedBytes> {
  const { platform, observer = silentObserver, timeoutMs, bytesMax } = options;
  const isSecure = url.protocol === "https:";
  if (!isSecure && url.protocol !== "http:") throw new TypeError(`"${url.href}" is no http: or https: URL`);
  const host = url.hostname.replace(/^\[(.*)\]$/, "$1");
  const port = url.port === "" ? (isSecure ? 443 : 80) : Number(url.port);
  const pool = openPool({
    host,
    port,
    protocol: isSecure ? "auto" : "http1",
    tls: isSecure ? (options.tls ?? {}) : undefined,
    platform,
    observer,
  });
  const { promise, resolve, reject } = Promise.withResolvers<FetchedBytes>();
  const fail = (reason: string, cause?: unknown): void =>
    reject(new Error(`${url.origin}${url.pathname}: ${reason}`, cause === undefined ? undefined : { cause }));
  const timer = platform.clock.after(timeoutMs, () => fail(`no complete answer within ${timeoutMs} ms`));
  const head = {
    method: get,
    scheme: new HeaderField(":scheme", isSecure ? "https" : "http"),
    authority: new HeaderField(":authority", url.host),
    path: new HeaderField(":path", url.pathname + url.search),
  };
  const accept = options.accept === undefined ? [] : [new HeaderField("accept", options.accept)];
  try {
    pool.acquire({ timeoutMs }).then(
      connection => {
        const receiver = new WholeAnswer(bytesMax, resolve, fail);
        const exchange = connection.request(head, [identity, ...accept], receiver, true);
        receiver.consumed = bytes => exchange.consumed(bytes);
      },
      (error: Error) => fail(error.message, error),
    );
    return await promise;
  } finally {
    timer.cancel();
    pool.destroy();
  }
}

/** Gathers an answer up to a size. */
class WholeAnswer implements ResponseReceiver {
  /** Opens the peer's window again. */
  consumed: (bytes: number) => void = () => {};
  readonly #bytesMax: number;
  readonly #resolve: (answer: FetchedBytes) => void;
  readonly #fail: (reason: string, cause?: unknown) => void;
  readonly #chunks: Buffer[] = [];
  #bytes = 0;
  #status = 0;
  #fields: FieldList | undefined;

  constructor(
    bytesMax: number,
    resolve: (answer: FetchedBytes) => void,
    fail: (reason: string, cause?: unknown) => void,
  ) {
    this.#bytesMax = bytesMax;
    this.#resolve = resolve;
    this.#fail = fail;
  }

  head(status: number, fields: FieldList): void {
    this.#status = status;
    this.#fields = fields;
    const encoding = fields.get("content-encoding");
    if (encoding !== undefined && encoding !== "identity") {
      this.#fail(`the answer has the content coding ${JSON.stringify(encoding.slice(0, 40))}, which was not asked for`);
    }
  }

  data(chunk: Buffer, start: number, end: number): void {
    this.#bytes += end - start;
    if (this.#bytes > this.#bytesMax) this.#fail(`the answer is longer than the limit of ${this.#bytesMax} bytes`);
    else this.#chunks.push(Buffer.from(chunk.subarray(start, end)));
    this.consumed(end - start);
  }

  ended(): void {
    // The head comes before the end.
    this.#resolve({ status: this.#status, fields: this.#fields as FieldList, body: Buffer.concat(this.#chunks) });
  }

  aborted(error: ExchangeError): void {
    this.#fail(error.message, error);
  }

  writable(): void {}
}
