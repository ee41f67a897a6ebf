import { hexDigitValue, isValueByte, tokenLowerCase } from "./characters.ts";
import { type FieldSection, FieldSectionParser, incomplete, refused } from "./field-section.ts";
import type { Http1Limits } from "./limits.ts";
import { type Refusal, refusals } from "./refusal.ts";

/** Where the pieces of a body go. */
export interface BodySink {
  bodyData(chunk: Buffer, start: number, end: number): void;
}

type Step =
  | "length" // counted bytes are coming
  | "untilClose"
  | "size"
  | "extensionName"
  | "extensionValueStart"
  | "extensionValue"
  | "extensionQuoted"
  | "extensionEscape"
  | "extensionQuotedEnd"
  | "sizeLineFeed"
  | "chunkData"
  | "chunkReturn"
  | "chunkLineFeed"
  | "trailers"
  | "done"
  | "refused";

/** More digits than any size we take; leading zeros count (RFC 9112, section 7.1: bound the size). */
const sizeDigitsMax = 16;

/**
 * Takes a message body out of the byte stream (RFC 9112, sections 6 and 7), whatever pieces it comes in. One object
 * serves a connection, one body after the other.
 */
export class IncomingBody {
  refusal: Refusal = refusals.chunkSize;
  trailers: FieldSection | undefined;
  readonly #limits: Http1Limits;
  #step: Step = "done";
  #remaining = 0;
  #sizeDigits = 0;
  #extensionBytes = 0;
  #trailerBytes: Buffer | undefined;

  constructor(limits: Http1Limits) {
    this.#limits = limits;
  }

  get isDone(): boolean {
    return this.#step === "done";
  }

  get isChunked(): boolean {
    return this.#step !== "length" && this.#step !== "untilClose" && this.#step !== "done";
  }

  get isUntilClose(): boolean {
    return this.#step === "untilClose";
  }

  get isRefused(): boolean {
    return this.#step === "refused";
  }

  /** Bytes that the peer has promised: of the body, or of this chunk and its line end; 0 between two chunks. */
  get promisedBytes(): number {
    switch (this.#step) {
      case "length":
      case "chunkData":
        return this.#remaining;
      case "size":
        return this.#sizeDigits > 0 ? 1 : 0;
      case "done":
      case "refused":
      case "untilClose":
        return 0;
      case "trailers":
        return this.#trailerBytes === undefined ? 0 : 1;
      default:
        return 1;
    }
  }

  /** Body bytes still to come, where a length says so; Infinity otherwise. */
  get knownRemaining(): number {
    return this.#step === "length" ? this.#remaining : this.#step === "done" ? 0 : Number.POSITIVE_INFINITY;
  }

  startLength(bytes: number): void {
    this.trailers = undefined;
    this.#remaining = bytes;
    this.#step = bytes === 0 ? "done" : "length";
  }

  startUntilClose(): void {
    this.trailers = undefined;
    this.#step = "untilClose";
  }

  startChunked(): void {
    this.trailers = undefined;
    this.#step = "size";
    this.#remaining = 0;
    this.#sizeDigits = 0;
    this.#extensionBytes = 0;
    this.#trailerBytes = undefined;
  }

  /** The connection ended: the end of a body that is delimited so. */
  finishUntilClose(): void {
    this.#step = "done";
  }

  /** Takes `bytes` from `start`; returns where the body, or the input, ended. Look at `isDone` and `isRefused` then. */
  take(bytes: Buffer, start: number, end: number, sink: BodySink): number {
    let at = start;
    while (at < end) {
      switch (this.#step) {
        case "done":
        case "refused":
          return at;
        case "untilClose":
          sink.bodyData(bytes, at, end);
          return end;
        case "length":
        case "chunkData": {
          const pieceEnd = Math.min(end, at + this.#remaining);
          this.#remaining -= pieceEnd - at;
          const pieceStart = at;
          at = pieceEnd;
          const isLast = this.#remaining === 0;
          // The step is set first: the sink may end the exchange.
          if (isLast) this.#step = this.#step === "length" ? "done" : "chunkReturn";
          sink.bodyData(bytes, pieceStart, pieceEnd);
          break;
        }
        case "trailers":
          at = this.#takeTrailers(bytes, at, end);
          break;
        default:
          this.#chunkByte(bytes[at]!);
          at++;
      }
    }
    return at;
  }

  #chunkByte(byte: number): void {
    switch (this.#step) {
      case "size": {
        const digit = hexDigitValue[byte]!;
        if (digit !== 255) {
          this.#remaining = this.#remaining * 16 + digit;
          if (++this.#sizeDigits > sizeDigitsMax || this.#remaining > Number.MAX_SAFE_INTEGER) {
            this.#refuse(refusals.chunkSize);
          }
        } else if (this.#sizeDigits === 0) this.#refuse(refusals.chunkSize);
        else if (byte === 0x0d) this.#step = "sizeLineFeed";
        else if (byte === 0x3b) {
          this.#step = "extensionName";
          this.#sizeDigits = -1; // no character of the name yet
        } else this.#refuse(byte === 0x0a ? refusals.bareLineFeed : refusals.chunkSize);
        return;
      }
      case "sizeLineFeed":
        if (byte !== 0x0a) this.#refuse(refusals.chunkSize);
        else {
          this.#step = this.#remaining === 0 ? "trailers" : "chunkData";
          this.#sizeDigits = 0;
        }
        return;
      case "chunkReturn":
        if (byte === 0x0d) this.#step = "chunkLineFeed";
        else this.#refuse(refusals.chunkEnd);
        return;
      case "chunkLineFeed":
        if (byte === 0x0a) this.#step = "size";
        else this.#refuse(refusals.chunkEnd);
        return;
      default:
        this.#extensionByte(byte);
    }
  }

  /** `*( ";" name [ "=" ( token / quoted-string ) ] )`, without blanks (RFC 9112, section 7.1.1). */
  #extensionByte(byte: number): void {
    if (++this.#extensionBytes > this.#limits.chunkExtensionBytesMax) {
      this.#refuse(refusals.chunkExtensionLength);
      return;
    }
    const isToken = tokenLowerCase[byte] !== 0;
    switch (this.#step) {
      case "extensionName":
        if (isToken) this.#sizeDigits = 1;
        else if (this.#sizeDigits === -1) this.#refuse(refusals.chunkExtension);
        else if (byte === 0x3d) this.#step = "extensionValueStart";
        else this.#extensionEnd(byte);
        return;
      case "extensionValueStart":
        if (byte === 0x22) this.#step = "extensionQuoted";
        else if (isToken) this.#step = "extensionValue";
        else this.#refuse(refusals.chunkExtension);
        return;
      case "extensionValue":
        if (!isToken) this.#extensionEnd(byte);
        return;
      case "extensionQuoted":
        if (byte === 0x22) this.#step = "extensionQuotedEnd";
        else if (byte === 0x5c) this.#step = "extensionEscape";
        else if (isValueByte[byte] === 0) this.#refuse(refusals.chunkExtension);
        return;
      case "extensionEscape":
        if (isValueByte[byte] === 0) this.#refuse(refusals.chunkExtension);
        else this.#step = "extensionQuoted";
        return;
      default:
        this.#extensionEnd(byte);
    }
  }

  #extensionEnd(byte: number): void {
    if (byte === 0x0d) this.#step = "sizeLineFeed";
    else if (byte === 0x3b) {
      this.#step = "extensionName";
      this.#sizeDigits = -1;
    } else this.#refuse(refusals.chunkExtension);
  }

  #takeTrailers(bytes: Buffer, start: number, end: number): number {
    // Almost always there are none.
    if (this.#trailerBytes === undefined && end - start >= 2 && bytes[start] === 0x0d && bytes[start + 1] === 0x0a) {
      this.#step = "done";
      return start + 2;
    }
    const held = this.#trailerBytes?.length ?? 0;
    const roomEnd = Math.min(end, start + this.#limits.trailerBytesMax - held);
    const piece = bytes.subarray(start, roomEnd);
    const section = this.#trailerBytes === undefined ? piece : Buffer.concat([this.#trailerBytes, piece]);
    const parser = new FieldSectionParser(this.#limits.fieldsMax);
    const sectionEnd = parser.parse(section, 0, section.length);
    if (sectionEnd === incomplete) {
      if (section.length >= this.#limits.trailerBytesMax) this.#refuse(refusals.trailerLength);
      else this.#trailerBytes = Buffer.from(section);
      return end;
    }
    if (sectionEnd === refused) {
      this.#refuse(parser.refusal);
      return end;
    }
    // RFC 9110, section 6.5.1: no framing, routing or connection control in trailers.
    if (parser.section.hasControlFields) {
      this.#refuse(refusals.trailerField);
      return end;
    }
    this.#trailerBytes = undefined;
    this.trailers = parser.section.names.length > 0 ? parser.section : undefined;
    this.#step = "done";
    return start + sectionEnd - held;
  }

  #refuse(refusal: Refusal): void {
    this.refusal = refusal;
    this.#step = "refused";
  }
}
