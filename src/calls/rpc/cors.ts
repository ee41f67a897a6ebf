import type { ByteWriter, Observer } from "../../platform/index.ts";
import {
  type BodyReceiver,
  type ConnectionInfo,
  constantField,
  type FieldList,
  HeaderField,
  type ResetReason,
  type ServerExchange,
} from "../../wire/index.ts";
import { discardBody } from "./discard-body.ts";

/** Which web pages of other origins may call (Fetch standard, "CORS protocol"). */
export interface CorsOptions {
  /**
   * Origins such as `https://app.example.com`, a function that judges one (at once: a promise is a no), or `"*"` for every
   * page there is.
   */
  readonly origins: "*" | readonly string[] | ((origin: string) => boolean);
  /** Pages may send cookies and other credentials; not together with `"*"`. @default false */
  readonly credentials?: boolean | undefined;
  /** How long browsers remember the answer to a preflight, in seconds. @default 7,200, the most that Chromium takes */
  readonly maxAgeSeconds?: number | undefined;
}

/** Response fields that pages see without being told (Fetch standard, "CORS-safelisted response-header name"). */
const safelisted = new Set([
  "cache-control",
  "content-language",
  "content-length",
  "content-type",
  "expires",
  "last-modified",
  "pragma",
]);

const preflightVary = constantField("vary", "origin, access-control-request-method, access-control-request-headers");
const allowCredentials = constantField("access-control-allow-credentials", "true");
const varyOrigin = constantField("vary", "origin");

/** The function that judges origins threw; the page was refused. */
export interface CorsJudgeFailed {
  readonly type: "cors.origins.failed";
  readonly origin: string;
  readonly error: unknown;
}

/** Answers preflights and tells browsers which answers their pages may read. */
export class Cors {
  readonly #options: CorsOptions;
  readonly #origins: ReadonlySet<string>;
  readonly #maxAge: HeaderField;
  readonly #observer: Observer;

  /** @throws TypeError for options that contradict each other, and for what is no origin */
  constructor(options: CorsOptions, observer: Observer) {
    const { origins, credentials = false, maxAgeSeconds = 7_200 } = options;
    if (origins === "*" && credentials) {
      throw new TypeError('cors: credentials need a list of origins, not "*": any page could act for its visitor');
    }
    if (typeof origins === "string" && origins !== "*") {
      throw new TypeError(`cors: origins is "${origins}"; expected a list, a function or "*"`);
    }
    if (!Number.isInteger(maxAgeSeconds) || maxAgeSeconds < 0) {
      throw new TypeError(`cors: maxAgeSeconds is ${maxAgeSeconds}; it must be a whole number of 0 or more`);
    }
    const list = typeof origins === "object" ? origins : [];
    for (const origin of list) {
      if (URL.canParse(origin) && new URL(origin).origin === origin) continue;
      throw new TypeError(`cors: "${origin}" is no origin; one looks like https://app.example.com`);
    }
    this.#options = options;
    this.#observer = observer;
    this.#origins = new Set(list);
    this.#maxAge = new HeaderField("access-control-max-age", String(maxAgeSeconds));
  }

  /**
   * The exchange to go on with, whose answer says what a page may read; `undefined` when this was a preflight, which is
   * answered.
   */
  apply(exchange: ServerExchange): ServerExchange | undefined {
    const origin = exchange.fields.get("origin");
    const isAllowed = origin !== undefined && this.#isAllowed(origin);
    const fields = isAllowed ? this.#allowing(origin) : this.#varying();
    const asked = exchange.fields.get("access-control-request-method");
    if (exchange.method === "OPTIONS" && origin !== undefined && asked !== undefined) {
      discardBody(exchange);
      exchange.respond(204, isAllowed ? this.#preflight(fields, exchange, asked) : [preflightVary], undefined);
      return undefined;
    }
    return fields.length === 0 ? exchange : new CorsExchange(exchange, fields, isAllowed);
  }

  #isAllowed(origin: string): boolean {
    const { origins } = this.#options;
    if (typeof origins !== "function") return origins === "*" || this.#origins.has(origin);
    try {
      return origins(origin) === true;
    } catch (error) {
      const event: CorsJudgeFailed = { type: "cors.origins.failed", origin, error };
      this.#observer.emit(event);
      return false;
    }
  }

  /** Answers differ by origin, also for those who name none. */
  #varying(): HeaderField[] {
    return this.#options.origins === "*" ? [] : [varyOrigin];
  }

  #allowing(origin: string): HeaderField[] {
    const fields = this.#varying();
    const value = this.#options.origins === "*" ? "*" : origin;
    fields.push(new HeaderField("access-control-allow-origin", value));
    if (this.#options.credentials === true) fields.push(allowCredentials);
    return fields;
  }

  #preflight(allowing: readonly HeaderField[], { fields }: ServerExchange, method: string): readonly HeaderField[] {
    const headers = fields.get("access-control-request-headers");
    // Which origins may call is decided; what they call and with what is for the routes to judge.
    return [
      ...allowing.filter(({ name }) => name !== "vary"),
      new HeaderField("access-control-allow-methods", method),
      ...(headers === undefined ? [] : [new HeaderField("access-control-allow-headers", headers)]),
      this.#maxAge,
      preflightVary,
    ];
  }
}

/** An exchange whose answer has further fields. */
class CorsExchange implements ServerExchange {
  readonly #exchange: ServerExchange;
  readonly #fields: readonly HeaderField[];
  readonly #exposes: boolean;

  constructor(exchange: ServerExchange, fields: readonly HeaderField[], exposes: boolean) {
    this.#exchange = exchange;
    this.#fields = fields;
    this.#exposes = exposes;
  }

  sendHead(status: number, fields: readonly HeaderField[], end: boolean): void {
    this.#exchange.sendHead(status, this.#with(fields), end);
  }

  respond(status: number, fields: readonly HeaderField[], body: Uint8Array | string | undefined): void {
    this.#exchange.respond(status, this.#with(fields), body);
  }

  /** Pages see the fields that this answer has, whatever their names. */
  #with(fields: readonly HeaderField[]): readonly HeaderField[] {
    const names = new Set(fields.map(({ name }) => name).filter(name => !safelisted.has(name)));
    if (!this.#exposes || names.size === 0) return [...fields, ...this.#fields];
    return [...fields, ...this.#fields, new HeaderField("access-control-expose-headers", [...names].join(", "))];
  }

  get receiver(): BodyReceiver {
    return this.#exchange.receiver;
  }
  set receiver(receiver: BodyReceiver) {
    this.#exchange.receiver = receiver;
  }
  get httpVersion(): 1 | 2 {
    return this.#exchange.httpVersion;
  }
  get connection(): ConnectionInfo {
    return this.#exchange.connection;
  }
  get method(): string {
    return this.#exchange.method;
  }
  get scheme(): string {
    return this.#exchange.scheme;
  }
  get authority(): string {
    return this.#exchange.authority;
  }
  get path(): HeaderField {
    return this.#exchange.path;
  }
  get fields(): FieldList {
    return this.#exchange.fields;
  }
  get bodyIsAbsent(): boolean {
    return this.#exchange.bodyIsAbsent;
  }
  get headSent(): boolean {
    return this.#exchange.headSent;
  }
  get isWritable(): boolean {
    return this.#exchange.isWritable;
  }
  get bufferedBytes(): number {
    return this.#exchange.bufferedBytes;
  }
  consumed(bytes: number): void {
    this.#exchange.consumed(bytes);
  }
  beginData(): ByteWriter {
    return this.#exchange.beginData();
  }
  commitData(end: boolean): void {
    this.#exchange.commitData(end);
  }
  abandonData(): void {
    this.#exchange.abandonData();
  }
  sendData(bytes: Uint8Array, end: boolean): void {
    this.#exchange.sendData(bytes, end);
  }
  sendTrailers(fields: readonly HeaderField[]): void {
    this.#exchange.sendTrailers(fields);
  }
  sendInformational(status: number, fields: readonly HeaderField[]): void {
    this.#exchange.sendInformational(status, fields);
  }
  reset(reason: ResetReason): void {
    this.#exchange.reset(reason);
  }
}
