import { type FieldList, HeaderField } from "../exchange.ts";
import { isValueByte, tokenLowerCase } from "./characters.ts";
import { hashStep, KnownName, knownName, knownNameIndex } from "./known-names.ts";
import { latin1Slice } from "./latin1.ts";
import { type Refusal, refusals } from "./refusal.ts";

/**
 * The fields of a head or of trailers (RFC 9112, section 5) together with what they say about framing and connection.
 * Values become strings, and strings become `HeaderField` objects, only when somebody asks.
 */
export class FieldSection implements FieldList {
  /** Name of each field, lower case. */
  readonly names: string[] = [];
  /** Where each value starts and ends in `#text`, two numbers a field. */
  readonly spans: number[] = [];
  #text = "";
  #fields: (HeaderField | undefined)[] | undefined;

  /** −1 without one. */
  contentLength = -1;
  isChunked = false;
  hostIndex = -1;
  hasClose = false;
  hasKeepAlive = false;
  expectsContinue = false;
  /** `Upgrade` names something and `Connection` says `upgrade`. */
  hasUpgrade = false;
  /** A field about framing, routing or connection was there: trailers must not have one. */
  hasControlFields = false;

  set text(text: string) {
    this.#text = text;
  }

  get(name: string): string | undefined {
    let joined: string | undefined;
    for (let i = 0; i < this.names.length; i++) {
      if (this.names[i] !== name) continue;
      const value = this.at(i).value;
      joined = joined === undefined ? value : joined + (name === "cookie" ? "; " : ", ") + value;
    }
    return joined;
  }

  find(name: string): HeaderField | undefined {
    for (let i = 0; i < this.names.length; i++) {
      if (this.names[i] === name) return this.at(i);
    }
    return undefined;
  }

  getAll(name: string): readonly string[] {
    const values: string[] = [];
    for (let i = 0; i < this.names.length; i++) {
      if (this.names[i] === name) values.push(this.at(i).value);
    }
    return values;
  }

  *[Symbol.iterator](): Iterator<HeaderField> {
    for (let i = 0; i < this.names.length; i++) yield this.at(i);
  }

  at(index: number): HeaderField {
    this.#fields ??= [];
    let field = this.#fields[index];
    if (field === undefined) {
      field = new HeaderField(this.names[index]!, this.value(index));
      this.#fields[index] = field;
    }
    return field;
  }

  value(index: number): string {
    return this.#text.substring(this.spans[index * 2]!, this.spans[index * 2 + 1]!);
  }
}

/** Answers of {@link FieldSectionParser.parse} that are not a position. */
export const incomplete = -1;
export const refused = -2;

/**
 * Reads field sections. A peer repeats itself: when the bytes of a section equal those of the one before it on this
 * connection, that one is handed out again, with everything the layers above derived from its fields.
 */
export class FieldSectionParser {
  /** After a position was returned. */
  section: FieldSection = new FieldSection();
  /** After `refused` was returned. */
  refusal: Refusal = refusals.fieldName;
  readonly #fieldsMax: number;
  /** The bytes of `section` when they are worth comparing. */
  #sectionBytes: Buffer | undefined;

  constructor(fieldsMax: number) {
    this.#fieldsMax = fieldsMax;
  }

  /** Reads from `start` up to and with the empty line. Returns the position behind it, `incomplete` or `refused`. */
  parse(bytes: Buffer, start: number, end: number): number {
    const known = this.#sectionBytes;
    if (known !== undefined && start + known.length <= end) {
      // The first bytes differ early where the peer changes; the native comparison is for those that agree.
      const last = start + known.length;
      if (bytes[last - 5] === known[known.length - 5] && known.compare(bytes, start, last) === 0) return last;
    }
    return this.#parseAnew(bytes, start, end);
  }

  #parseAnew(bytes: Buffer, start: number, end: number): number {
    const section = new FieldSection();
    let at = start;
    for (;;) {
      if (at >= end) return incomplete;
      let byte = bytes[at]!;
      if (byte === 0x0d) {
        if (at + 1 >= end) return incomplete;
        if (bytes[at + 1] !== 0x0a) return this.#refuse(refusals.fieldName);
        at += 2;
        break;
      }
      // Name (RFC 9112, section 5.1: no blank before the colon)
      const nameStart = at;
      let hash = 0;
      let lower = tokenLowerCase[byte]!;
      while (lower !== 0) {
        hash = hashStep(hash, lower);
        if (++at >= end) return incomplete;
        byte = bytes[at]!;
        lower = tokenLowerCase[byte]!;
      }
      if (byte !== 0x3a || at === nameStart) return this.#refuse(nameRefusal(byte, at === nameStart));
      const nameEnd = at++;
      // Value without the blanks around it (section 5.1)
      while (at < end && (bytes[at] === 0x20 || bytes[at] === 0x09)) at++;
      let valueStart = at;
      while (at < end && isValueByte[bytes[at]!] === 1) at++;
      if (at >= end) return incomplete;
      if (bytes[at] !== 0x0d) return this.#refuse(bytes[at] === 0x0a ? refusals.bareLineFeed : refusals.fieldValue);
      if (at + 1 >= end) return incomplete;
      if (bytes[at + 1] !== 0x0a) return this.#refuse(refusals.fieldValue);
      let valueEnd = at;
      while (valueEnd > valueStart && (bytes[valueEnd - 1] === 0x20 || bytes[valueEnd - 1] === 0x09)) valueEnd--;
      if (valueEnd === valueStart) valueStart = valueEnd;
      at += 2;

      if (section.names.length === this.#fieldsMax) return this.#refuse(refusals.fieldCount);
      const index = knownNameIndex(bytes, nameStart, nameEnd, hash);
      if (index === -1) {
        section.names.push(latin1Slice(bytes, nameStart, nameEnd).toLowerCase());
      } else {
        section.names.push(knownName(index));
        if (index <= KnownName.upgrade) {
          const refusal = noteKnown(section, index, bytes, valueStart, valueEnd);
          if (refusal !== undefined) return this.#refuse(refusal);
        }
      }
      section.spans.push(valueStart - start, valueEnd - start);
    }
    if (section.hasUpgrade && !section.names.includes("upgrade")) section.hasUpgrade = false;
    section.text = latin1Slice(bytes, start, at);
    this.section = section;
    this.#remember(bytes, start, at);
    return at;
  }

  /** Large sections are not kept: an idle connection should stay small. */
  #remember(bytes: Buffer, start: number, end: number): void {
    const length = end - start;
    if (length < 5 || length > 2048) {
      this.#sectionBytes = undefined;
      return;
    }
    let kept = this.#sectionBytes;
    if (kept === undefined || kept.length !== length) {
      kept = Buffer.allocUnsafeSlow(length);
      this.#sectionBytes = kept;
    }
    bytes.copy(kept, 0, start, end);
  }

  #refuse(refusal: Refusal): number {
    this.refusal = refusal;
    return refused;
  }
}

function nameRefusal(byte: number, isFirst: boolean): Refusal {
  if (byte === 0x0a) return refusals.bareLineFeed;
  return isFirst && (byte === 0x20 || byte === 0x09) ? refusals.fieldFolding : refusals.fieldName;
}

function noteKnown(
  section: FieldSection,
  index: number,
  bytes: Buffer,
  start: number,
  end: number,
): Refusal | undefined {
  section.hasControlFields = true;
  switch (index) {
    case KnownName.host:
      if (section.hostIndex !== -1) return refusals.hostRepeated;
      section.hostIndex = section.names.length - 1;
      return undefined;
    case KnownName.contentLength:
      return noteContentLength(section, bytes, start, end);
    case KnownName.transferEncoding:
      return noteTransferEncoding(section, latin1Slice(bytes, start, end).toLowerCase());
    case KnownName.connection:
      noteConnection(section, latin1Slice(bytes, start, end).toLowerCase());
      return undefined;
    case KnownName.expect:
      // RFC 9110, section 10.1.1
      if (latin1Slice(bytes, start, end).toLowerCase() !== "100-continue") return refusals.expectation;
      section.expectsContinue = true;
      return undefined;
    default:
      return undefined;
  }
}

/** RFC 9110, section 8.6: digits only. A list of equal numbers may be accepted; we do not. */
function noteContentLength(section: FieldSection, bytes: Buffer, start: number, end: number): Refusal | undefined {
  if (section.contentLength !== -1) return refusals.contentLengthRepeated;
  if (section.isChunked) return refusals.twoFramings;
  if (start === end) return refusals.contentLength;
  let length = 0;
  for (let i = start; i < end; i++) {
    const digit = bytes[i]! - 0x30;
    if (digit < 0 || digit > 9) return refusals.contentLength;
    length = length * 10 + digit;
    if (length > Number.MAX_SAFE_INTEGER) return refusals.contentLengthSize;
  }
  section.contentLength = length;
  return undefined;
}

/** RFC 9112, section 6.1: we know `chunked` only; 501 for a coding that precedes it, 400 for one that ends the list. */
function noteTransferEncoding(section: FieldSection, value: string): Refusal | undefined {
  if (section.isChunked) return refusals.transferEncoding;
  if (section.contentLength !== -1) return refusals.twoFramings;
  if (value !== "chunked") {
    return /^[a-z]+(?:[ \t]*,[ \t]*[a-z]+)*[ \t]*,[ \t]*chunked$/.test(value) && !value.startsWith("chunked")
      ? refusals.transferCoding
      : refusals.transferEncoding;
  }
  section.isChunked = true;
  return undefined;
}

function noteConnection(section: FieldSection, value: string): void {
  if (value === "keep-alive") {
    section.hasKeepAlive = true;
    return;
  }
  for (const option of value.split(",")) {
    switch (option.trim()) {
      case "close":
        section.hasClose = true;
        break;
      case "keep-alive":
        section.hasKeepAlive = true;
        break;
      case "upgrade":
        section.hasUpgrade = true;
        break;
    }
  }
}
