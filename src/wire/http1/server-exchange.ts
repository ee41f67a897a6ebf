import type { ByteStream } from "../../platform/index.ts";
import type { BodyReceiver, FieldList, HeaderField, ServerExchange } from "../exchange.ts";
import { fieldLine, meaningOf, outgoingLength, refuseField } from "./field-lines.ts";
import type { RequestHeadParser } from "./head-parser.ts";
import { type ExchangeOwner, MessageExchange } from "./message-exchange.ts";
import { statusLine } from "./status-lines.ts";

/** What a server's exchange asks of its connection on top. */
export interface ServerExchangeOwner extends ExchangeOwner {
  readonly scheme: string;
  readonly dateLine: string;
  /** Decides, with the head going out, whether the connection goes on. */
  keepsAlive(willRead: boolean): boolean;
  informationalSent(): void;
  handOver(): { stream: ByteStream; firstBytes: Buffer };
}

/** What the parsed head says. */
export interface RequestParts {
  readonly method: string;
  readonly authority: string;
  readonly path: HeaderField;
  readonly fields: FieldList;
  readonly isVersion10: boolean;
  readonly bodyIsAbsent: boolean;
}

/** Until the layer above sets its own. */
const inertReceiver: BodyReceiver = { data() {}, ended() {}, aborted() {}, writable() {} };

export class Http1ServerExchange extends MessageExchange implements ServerExchange {
  receiver: BodyReceiver = inertReceiver;
  readonly method: string;
  readonly authority: string;
  readonly path: HeaderField;
  readonly fields: FieldList;
  readonly bodyIsAbsent: boolean;
  headSent = false;
  /** The head that was sent said so. */
  closesConnection = false;
  wasReset = false;
  readonly #isVersion10: boolean;
  readonly #server: ServerExchangeOwner;

  constructor(owner: ServerExchangeOwner, parts: RequestParts) {
    super(owner);
    this.#server = owner;
    this.method = parts.method;
    this.authority = parts.authority;
    this.path = parts.path;
    this.fields = parts.fields;
    this.bodyIsAbsent = parts.bodyIsAbsent;
    this.#isVersion10 = parts.isVersion10;
  }

  get scheme(): string {
    return this.#server.scheme;
  }

  sendInformational(status: number, fields: readonly HeaderField[]): void {
    if (status < 100 || status > 199 || status === 101)
      throw new RangeError(`${status} is not an informational status`);
    // A client of HTTP/1.0 does not know 1xx (RFC 9110, section 15.2).
    if (this.isOver || this.headSent || this.#isVersion10) return;
    let text = statusLine(status);
    for (const field of fields) text += fieldLine(field);
    this.owner.output.appendText(`${text}\r\n`);
    this.owner.output.flush();
    if (status === 100) this.#server.informationalSent();
  }

  sendHead(status: number, fields: readonly HeaderField[], end: boolean): void {
    if (!this.#mayStart(status)) return;
    const mayHaveBody = statusMayHaveBody(status);
    let text = statusLine(status);
    let length = -1;
    let closes = false;
    let hasDate = false;
    for (const field of fields) {
      switch (meaningOf(field.name)) {
        case "content-length":
          if (length !== -1) throw new TypeError("cannot send content-length twice");
          length = outgoingLength(field.value);
          if (status === 204) continue;
          break;
        case "connection":
          closes = this.#noteConnection(field) || closes;
          continue;
        case "date":
          hasDate = true;
          break;
        case "refused":
          refuseField(field.name);
      }
      text += fieldLine(field);
    }
    const isHead = this.method === "HEAD";
    const sendsBody = mayHaveBody && !isHead;
    if (end && sendsBody && length > 0) throw new TypeError(`content-length ${length} on an answer without body`);
    if (mayHaveBody && length === -1) {
      if (end) {
        if (!isHead) text += "content-length: 0\r\n";
      } else if (!this.#isVersion10) text += "transfer-encoding: chunked\r\n";
      else closes = true;
    }
    text += this.#endOfHead(closes, !end, hasDate);
    this.headSent = true;
    this.owner.output.appendText(text);
    if (!sendsBody) this.owner.outgoing.start("none");
    else if (length !== -1 || end) this.owner.outgoing.start("length", end ? 0 : length);
    else this.owner.outgoing.start(this.#isVersion10 ? "untilClose" : "chunked");
    this.bodyIsOpen = true;
    if (end) this.sendTrailers([]);
    else this.owner.sentPart();
  }

  respond(status: number, fields: readonly HeaderField[], body: Uint8Array | string | undefined): void {
    if (!this.#mayStart(status)) return;
    let text = statusLine(status);
    let closes = false;
    let hasDate = false;
    for (const field of fields) {
      switch (meaningOf(field.name)) {
        case "content-length":
          continue; // counted below
        case "connection":
          closes = this.#noteConnection(field) || closes;
          continue;
        case "date":
          hasDate = true;
          break;
        case "refused":
          refuseField(field.name);
      }
      text += fieldLine(field);
    }
    const length = body === undefined ? 0 : typeof body === "string" ? Buffer.byteLength(body) : body.length;
    const mayHaveBody = statusMayHaveBody(status);
    if (mayHaveBody) text += `content-length: ${length}\r\n`;
    text += this.#endOfHead(closes, false, hasDate);
    this.headSent = true;
    const output = this.owner.output;
    if (length === 0 || !mayHaveBody || this.method === "HEAD") output.appendText(text);
    // A text that is as long in UTF-8 is ASCII and leaves in one piece with its head.
    else if (typeof body === "string" && length === body.length) output.appendText(text + body);
    else {
      output.appendText(text);
      output.appendBytes(typeof body === "string" ? Buffer.from(body) : body!);
    }
    this.owner.sentLast(true);
  }

  #mayStart(status: number): boolean {
    if (this.isOver) return false;
    if (this.headSent) throw new Error("the final head was sent already");
    if (status < 200) throw new RangeError(`${status} is not a final status`);
    return true;
  }

  /** `true` for `close`. @throws TypeError for other options: what they name would have to be understood here. */
  #noteConnection(field: HeaderField): boolean {
    const value = field.value.toLowerCase();
    if (value === "keep-alive") return false;
    if (value !== "close") throw new TypeError(`cannot send connection: ${field.value}; only close and keep-alive`);
    return true;
  }

  #endOfHead(closes: boolean, willRead: boolean, hasDate: boolean): string {
    const keepsAlive = this.#server.keepsAlive(willRead) && !closes;
    const date = hasDate ? "" : this.#server.dateLine;
    if (!keepsAlive) {
      this.closesConnection = true;
      return `${date}connection: close\r\n\r\n`;
    }
    return this.#isVersion10 ? `${date}connection: keep-alive\r\n\r\n` : `${date}\r\n`;
  }
}

/** The exchange of a request that offers an upgrade (RFC 9110, section 7.8). */
export class UpgradableServerExchange extends Http1ServerExchange {
  readonly #owner: ServerExchangeOwner;

  constructor(owner: ServerExchangeOwner, parts: RequestParts) {
    super(owner, parts);
    this.#owner = owner;
  }

  /** Sends 101 with `fields`, `upgrade` among them; `connection: upgrade` is added. */
  upgrade(status: number, fields: readonly HeaderField[]): { stream: ByteStream; firstBytes: Buffer } {
    if (this.isOver) throw new Error("the connection is gone");
    if (this.headSent) throw new Error("the final head was sent already");
    if (status !== 101) throw new RangeError(`an upgrade is answered with 101, not ${status}`);
    let text = `${statusLine(status)}connection: upgrade\r\n`;
    let namesProtocol = false;
    for (const field of fields) {
      const meaning = meaningOf(field.name);
      if (meaning === "connection") continue;
      if (meaning !== "plain" && meaning !== "date") refuseField(field.name);
      if (field.name === "upgrade") namesProtocol = true;
      text += fieldLine(field);
    }
    if (!namesProtocol) throw new TypeError("an upgrade must name its protocol in an upgrade field");
    this.headSent = true;
    this.owner.output.appendText(`${text}\r\n`);
    return this.#owner.handOver();
  }
}

/** RFC 9110, section 6.4.1. */
function statusMayHaveBody(status: number): boolean {
  return status !== 204 && status !== 304;
}

/** The exchange of the request whose head `parser` has just read. */
export function openExchange(
  owner: ServerExchangeOwner,
  parser: RequestHeadParser,
  bodyIsAbsent: boolean,
): Http1ServerExchange {
  const { method, authority, path, section, isVersion10 } = parser;
  const parts = { method, authority, path, fields: section, isVersion10, bodyIsAbsent };
  const offersUpgrade = section.hasUpgrade && bodyIsAbsent && !isVersion10 && !isH2c(section.get("upgrade"));
  return offersUpgrade ? new UpgradableServerExchange(owner, parts) : new Http1ServerExchange(owner, parts);
}

/** RFC 9113 has dropped the upgrade to HTTP/2; a client that asks for it gets an ordinary answer. */
function isH2c(value: string | undefined): boolean {
  return value?.trim().toLowerCase() === "h2c";
}
