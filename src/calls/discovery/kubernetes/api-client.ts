import {
  hostAndPort,
  type Observer,
  type Platform,
  type Timer,
  type TlsClientOptions,
} from "../../../platform/index.ts";
import {
  type ClientExchange,
  type ConnectionPool,
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  openPool,
  type ResponseReceiver,
} from "../../../wire/index.ts";
import { apiAnswerTimeoutMs, listBytesMax, statusBytesMax } from "../limits.ts";
import type { ApiAccess } from "./credentials.ts";

/** The API server answered with something other than 200. */
export class ApiStatusError extends Error {
  override readonly name = "ApiStatusError";
  readonly status: number;
  constructor(status: number, message: string) {
    super(message);
    this.status = status;
  }
}

const get = constantField(":method", "GET");
const acceptJson = constantField("accept", "application/json");
const userAgent = constantField("user-agent", "trunkline");

interface RequestOptions {
  readonly signal: AbortSignal;
  /** The answer must be complete by then, or the connection counts as dead. */
  readonly timeoutMs: number;
  /** The head of an answer that is 200 has come. */
  readonly accepted?: () => void;
  /** Takes the body of an answer that is 200; what it throws ends the request. */
  readonly data: (bytes: Buffer) => void;
}

/** Requests to one Kubernetes API server, over the pool of the wire: HTTP/2 where it offers that. */
export class ApiClient {
  readonly #platform: Platform;
  readonly #observer: Observer;
  #pool: ConnectionPool | undefined;
  #poolKey = "";

  constructor(platform: Platform, observer: Observer) {
    this.#platform = platform;
    this.#observer = observer;
  }

  /** The whole answer. @throws (rejects) ApiStatusError, ExchangeError, RangeError when it is too large */
  async get(access: ApiAccess, path: string, signal: AbortSignal): Promise<string> {
    const pieces: Buffer[] = [];
    let length = 0;
    await this.#request(access, path, {
      signal,
      timeoutMs: apiAnswerTimeoutMs,
      data: bytes => {
        length += bytes.length;
        if (length > listBytesMax) throw new RangeError(`the answer to ${path} is larger than ${listBytesMax} bytes`);
        pieces.push(Buffer.from(bytes));
      },
    });
    return Buffer.concat(pieces).toString("utf8");
  }

  /** An answer that comes in pieces; resolves when the server ends it. @throws (rejects) as `get`, and what `data` throws */
  stream(access: ApiAccess, path: string, options: RequestOptions): Promise<void> {
    return this.#request(access, path, options);
  }

  close(): void {
    this.#pool?.destroy();
  }

  async #request(access: ApiAccess, path: string, options: RequestOptions): Promise<void> {
    const fields = [acceptJson, userAgent];
    if (access.bearerToken !== undefined) {
      fields.push(new HeaderField("authorization", `Bearer ${checkedToken(access.bearerToken)}`, true));
    }
    const head = {
      method: get,
      scheme: constantField(":scheme", access.tls === undefined ? "http" : "https"),
      authority: new HeaderField(":authority", hostAndPort(access.host, access.port)),
      path: new HeaderField(":path", `${access.basePath}${path}`),
    };
    const connection = await this.#poolOf(access).acquire({ signal: options.signal });
    const answer = new Answer(options, this.#platform);
    answer.begun(connection.request(head, fields, answer, true));
    return answer.done;
  }

  /** Certificates are part of connections: new ones need a new pool. */
  #poolOf({ host, port, tls }: ApiAccess): ConnectionPool {
    const key = JSON.stringify([host, port, tlsText(tls)]);
    if (this.#pool === undefined || this.#pool.isClosed || key !== this.#poolKey) {
      void this.#pool?.drain();
      this.#poolKey = key;
      this.#pool = openPool({
        host,
        port,
        tls,
        protocol: tls === undefined ? "http1" : "auto",
        platform: this.#platform,
        observer: this.#observer,
      });
    }
    return this.#pool;
  }
}

function tlsText(tls: TlsClientOptions | undefined): readonly unknown[] | undefined {
  return tls === undefined ? undefined : [tls.ca, tls.cert, tls.key, tls.serverName, tls.verify].map(String);
}

function checkedToken(token: string): string {
  if (!/^[\x21-\x7e]+$/.test(token)) throw new Error("the bearer token is empty or has characters that no token has");
  return token;
}

/** One answer, from its head to its end. */
class Answer implements ResponseReceiver {
  readonly done: Promise<void>;
  readonly #options: RequestOptions;
  readonly #timer: Timer;
  readonly #aborted = (): void => this.#fail(this.#options.signal.reason);
  #resolve: (() => void) | undefined;
  #reject: ((error: unknown) => void) | undefined;
  #exchange: ClientExchange | undefined;
  #status = 0;
  #statusText = "";
  #isOver = false;

  constructor(options: RequestOptions, { clock }: Platform) {
    this.#options = options;
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    const { timeoutMs, signal } = options;
    this.#timer = clock.after(timeoutMs, () =>
      this.#fail(new Error(`the API server did not finish its answer within ${timeoutMs} ms`)),
    );
    signal.addEventListener("abort", this.#aborted, { once: true });
  }

  begun(exchange: ClientExchange): void {
    this.#exchange = exchange;
    if (this.#options.signal.aborted) this.#aborted();
  }

  head(status: number, _fields: FieldList): void {
    this.#status = status;
    if (status === 200 && !this.#isOver) this.#options.accepted?.();
  }

  data(chunk: Buffer, start: number, end: number): void {
    const exchange = this.#exchange;
    try {
      const bytes = chunk.subarray(start, end);
      if (this.#isOver) return;
      if (this.#status === 200) this.#options.data(bytes);
      else if (this.#statusText.length < statusBytesMax) this.#statusText += bytes.toString("latin1");
    } catch (error) {
      this.#fail(error);
    } finally {
      if (exchange !== undefined && !exchange.isClosed) exchange.consumed(end - start);
    }
  }

  ended(): void {
    if (this.#status === 200) this.#finish(() => this.#resolve?.());
    else this.#fail(new ApiStatusError(this.#status, `the API server answered ${this.#status}${this.#reason()}`));
  }

  aborted(error: ExchangeError): void {
    this.#fail(error);
  }

  writable(): void {}

  /** The message of a Status object, or the beginning of whatever came instead. */
  #reason(): string {
    const text = Buffer.from(this.#statusText, "latin1").toString("utf8").trim();
    try {
      const { message } = JSON.parse(text) as { readonly message?: unknown };
      if (typeof message === "string") return `: ${message}`;
    } catch {
      // not from the API server itself
    }
    return text === "" ? "" : `: ${text.slice(0, 200)}`;
  }

  #fail(error: unknown): void {
    this.#finish(() => this.#reject?.(error));
    const exchange = this.#exchange;
    if (exchange !== undefined && !exchange.isClosed) exchange.reset("cancel");
  }

  #finish(settle: () => void): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#timer.cancel();
    this.#options.signal.removeEventListener("abort", this.#aborted);
    settle();
  }
}
