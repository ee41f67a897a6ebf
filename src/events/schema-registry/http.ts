import { hostAndPort, type Observer, type Platform, type Timer } from "../../platform/index.ts";
import {
  type ClientExchange,
  type ConnectionPool,
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  openPool,
  type ResponseReceiver,
} from "../../wire/index.ts";
import type { SchemaRegistryOptions } from "../broker.ts";
import { BrokerError } from "../errors.ts";
import { answerBytesMax, answerTimeoutMs } from "./limits.ts";

const methods = { GET: constantField(":method", "GET"), POST: constantField(":method", "POST") };
const mediaType = "application/vnd.schemaregistry.v1+json";
const accept = constantField("accept", `${mediaType}, application/json`);
const contentType = constantField("content-type", mediaType);
const userAgent = constantField("user-agent", "trunkline");
const schemes = { http: constantField(":scheme", "http"), https: constantField(":scheme", "https") };

export interface HttpAnswer {
  readonly status: number;
  readonly body: Buffer;
}

/** Requests to one registry over the pool of the wire. Redirections are not followed: credentials belong to one place. */
export class RegistryHttp {
  /** For messages, without what is secret. */
  readonly name: string;
  readonly #clock: Platform["clock"];
  readonly #pool: ConnectionPool;
  readonly #authority: HeaderField;
  readonly #scheme: HeaderField;
  readonly #basePath: string;
  readonly #auth: SchemaRegistryOptions["auth"];

  /** @throws BrokerError for options that mean nothing */
  constructor({ url, auth, ca }: SchemaRegistryOptions, platform: Platform, observer: Observer) {
    let parsed: URL;
    try {
      parsed = new URL(url);
    } catch {
      throw wrong("url", "is no URL; it looks like https://registry:8081");
    }
    const { protocol, hostname, port, username, search, hash, pathname } = parsed;
    if (protocol !== "http:" && protocol !== "https:")
      throw wrong("url", `begins with ${protocol}; it must be http: or https:`);
    if (username !== "") throw wrong("url", "has a user; name it in kafka.schemaRegistry.auth instead");
    if (search !== "" || hash !== "") throw wrong("url", "has a query or a fragment; leave it out");
    const isTls = protocol === "https:";
    if (ca !== undefined && !isTls) throw wrong("ca", "is set, but the url is not https:");
    checkAuth(auth);
    const host = hostname.replace(/^\[|\]$/g, "");
    const number = port === "" ? (isTls ? 443 : 80) : Number(port);
    const tls = isTls ? { ca } : undefined;
    this.name = `${protocol}//${hostAndPort(host, number)}`;
    this.#clock = platform.clock;
    this.#auth = auth;
    this.#basePath = pathname.replace(/\/+$/, "");
    this.#authority = new HeaderField(":authority", hostAndPort(host, number));
    this.#scheme = isTls ? schemes.https : schemes.http;
    this.#pool = openPool({ host, port: number, tls, protocol: isTls ? "auto" : "http1", platform, observer });
  }

  /** @throws Error when there is no whole answer */
  async request(method: "GET" | "POST", path: string, body?: object): Promise<HttpAnswer> {
    const bytes = body === undefined ? undefined : Buffer.from(JSON.stringify(body));
    const fields = [accept, userAgent];
    if (bytes !== undefined) fields.push(contentType);
    const authorization = await this.#within(authorizationOf(this.#auth), "kafka.schemaRegistry.auth.token");
    if (authorization !== undefined) fields.push(new HeaderField("authorization", authorization, true));
    const connection = await this.#pool.acquire({ timeoutMs: answerTimeoutMs });
    const answer = new Answer(this.#clock);
    const head = {
      method: methods[method],
      scheme: this.#scheme,
      authority: this.#authority,
      path: new HeaderField(":path", `${this.#basePath}${path}`),
      contentLength: bytes?.length ?? 0,
    };
    const exchange = connection.request(head, fields, answer, bytes === undefined);
    answer.exchange = exchange;
    if (bytes !== undefined) exchange.sendData(bytes, true);
    return answer.done;
  }

  close(): void {
    this.#pool.destroy();
  }

  /** A function of the user must not hold up publishes for ever. */
  async #within<T>(promise: Promise<T>, what: string): Promise<T> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = this.#clock.after(answerTimeoutMs, () =>
      reject(new Error(`${what} took longer than ${answerTimeoutMs / 1_000} s`)),
    );
    try {
      return await Promise.race([promise, tooLate]);
    } finally {
      timer.cancel();
    }
  }
}

function wrong(option: string, problem: string): BrokerError {
  return new BrokerError(`connectBroker: kafka.schemaRegistry.${option} ${problem}`);
}

function checkAuth(auth: SchemaRegistryOptions["auth"]): void {
  if (auth === undefined) return;
  const { username, password, token } = auth as Readonly<Record<string, unknown>>;
  const isBasic = typeof username === "string" && typeof password === "string" && !/[:\r\n]/.test(username);
  if (isBasic === (typeof token === "string" || typeof token === "function")) {
    throw wrong("auth", "must be { username, password } or { token }");
  }
}

async function authorizationOf(auth: SchemaRegistryOptions["auth"]): Promise<string | undefined> {
  if (auth === undefined) return undefined;
  if ("username" in auth) return `Basic ${Buffer.from(`${auth.username}:${auth.password}`).toString("base64")}`;
  const token = typeof auth.token === "string" ? auth.token : await auth.token();
  if (typeof token !== "string" || !/^[\x21-\x7e]+$/.test(token)) {
    throw new Error("kafka.schemaRegistry.auth.token is empty or has characters that no token has");
  }
  return `Bearer ${token}`;
}

/** One answer, from its head to its end. */
class Answer implements ResponseReceiver {
  readonly done: Promise<HttpAnswer>;
  exchange: ClientExchange | undefined;
  readonly #timer: Timer;
  readonly #pieces: Buffer[] = [];
  #length = 0;
  #status = 0;
  #isOver = false;
  #resolve!: (answer: HttpAnswer) => void;
  #reject!: (error: Error) => void;

  constructor(clock: Platform["clock"]) {
    this.done = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
    this.#timer = clock.after(answerTimeoutMs, () =>
      this.#fail(new Error(`no answer within ${answerTimeoutMs / 1_000} s`)),
    );
  }

  head(status: number, _fields: FieldList): void {
    this.#status = status;
  }

  data(chunk: Buffer, start: number, end: number): void {
    if (!this.#isOver) {
      this.#length += end - start;
      if (this.#length > answerBytesMax) this.#fail(new Error(`the answer has more than ${answerBytesMax} bytes`));
      else this.#pieces.push(Buffer.from(chunk.subarray(start, end)));
    }
    if (this.exchange !== undefined && !this.exchange.isClosed) this.exchange.consumed(end - start);
  }

  ended(): void {
    if (this.#isOver) return;
    this.#over();
    this.#resolve({ status: this.#status, body: Buffer.concat(this.#pieces) });
  }

  aborted(error: ExchangeError): void {
    this.#fail(error);
  }

  writable(): void {}

  #fail(error: Error): void {
    if (this.#isOver) return;
    this.#over();
    this.#reject(error);
    if (this.exchange !== undefined && !this.exchange.isClosed) this.exchange.reset("cancel");
  }

  #over(): void {
    this.#isOver = true;
    this.#timer.cancel();
  }
}
