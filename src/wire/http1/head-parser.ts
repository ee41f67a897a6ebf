import { HeaderField } from "../exchange.ts";
import { isHostByte, isTargetByte, tokenLowerCase } from "./characters.ts";
import { type FieldSection, FieldSectionParser, incomplete, refused } from "./field-section.ts";
import { latin1Slice } from "./latin1.ts";
import type { Http1Limits } from "./limits.ts";
import { type Refusal, refusals } from "./refusal.ts";

/** Paths kept per connection, and the longest of them: together less than an idle connection may weigh. */
const pathCacheMax = 32;
const cachedPathCharactersMax = 256;
const methodBytesMax = 32;

/**
 * Reads request heads (RFC 9112, sections 2, 3 and 5) in one pass; the results of the last one lie in its properties. An
 * incomplete head is read again from its start when more of it has come.
 */
export class RequestHeadParser {
  method = "";
  /** Path with query; the same object for a repeated target, so that the router's slot pays. */
  path: HeaderField = new HeaderField(":path", "/");
  authority = "";
  isVersion10 = false;
  refusal: Refusal = refusals.firstLine;
  readonly #limits: Http1Limits;
  readonly #fields: FieldSectionParser;
  readonly #paths = new Map<string, HeaderField>();

  constructor(limits: Http1Limits) {
    this.#limits = limits;
    this.#fields = new FieldSectionParser(limits.fieldsMax);
  }

  get section(): FieldSection {
    return this.#fields.section;
  }

  /** Reads a head at `start`. Returns the position behind it, `incomplete` or `refused`. */
  parse(bytes: Buffer, start: number, end: number): number {
    const limit = start + this.#limits.headBytesMax;
    const visibleEnd = Math.min(end, limit);
    const result = this.#parse(bytes, start, visibleEnd);
    if (result === incomplete && visibleEnd === limit) return this.#refuse(refusals.headLength);
    return result;
  }

  #parse(bytes: Buffer, start: number, end: number): number {
    let at = start;
    // One empty line before a request is forgiven (RFC 9112, section 2.2).
    if (bytes[at] === 0x0d) {
      if (at + 1 >= end) return incomplete;
      if (bytes[at + 1] !== 0x0a) return this.#refuse(refusals.firstLine);
      at += 2;
    }
    const methodStart = at;
    while (at < end && tokenLowerCase[bytes[at]!] !== 0) at++;
    if (at - methodStart > methodBytesMax) return this.#refuse(refusals.methodLength);
    if (at >= end) return incomplete;
    if (bytes[at] !== 0x20 || at === methodStart) return this.#refuse(refusals.method);
    const methodEnd = at++;
    const targetStart = at;
    while (at < end && isTargetByte[bytes[at]!] === 1) at++;
    if (at - targetStart > this.#limits.targetBytesMax) return this.#refuse(refusals.targetLength);
    if (at >= end) return incomplete;
    if (bytes[at] !== 0x20 || at === targetStart) return this.#refuse(refusals.target);
    const targetEnd = at++;
    const versionStart = at;
    at = parseVersion(bytes, at, end);
    if (at === incomplete) return incomplete;
    if (at === refused) return this.#refuse(versionRefusal(bytes, versionStart, end));
    if (at >= end) return incomplete;
    if (bytes[at] !== 0x0d) return this.#refuse(bytes[at] === 0x0a ? refusals.bareLineFeed : refusals.firstLine);
    if (at + 1 >= end) return incomplete;
    if (bytes[at + 1] !== 0x0a) return this.#refuse(refusals.firstLine);
    this.isVersion10 = bytes[at - 1] === 0x30;
    this.method = methodText(bytes, methodStart, methodEnd);
    if (this.method === "CONNECT") return this.#refuse(refusals.connect);

    at = this.#fields.parse(bytes, at + 2, end);
    if (at === refused) return this.#refuse(this.#fields.refusal);
    if (at === incomplete) return incomplete;
    const refusal = this.#checkFields() ?? this.#takeTarget(bytes, targetStart, targetEnd);
    return refusal === undefined ? at : this.#refuse(refusal);
  }

  /** Host (RFC 9112, section 3.2) and framing against the version (section 6.1). */
  #checkFields(): Refusal | undefined {
    const section = this.#fields.section;
    if (this.isVersion10 && section.isChunked) return refusals.transferEncodingVersion;
    if (section.hostIndex === -1) {
      this.authority = "";
      return this.isVersion10 ? undefined : refusals.hostMissing;
    }
    const host = section.at(section.hostIndex);
    // The authority of the request before was checked already.
    if ((host.value !== this.authority || host.value === "") && !isHost(host.value)) return refusals.host;
    this.authority = host.value;
    return undefined;
  }

  /** The forms of a request target (RFC 9112, section 3.2). */
  #takeTarget(bytes: Buffer, start: number, end: number): Refusal | undefined {
    const target = latin1Slice(bytes, start, end);
    if (bytes[start] === 0x2f) {
      if (this.path.value !== target) this.path = this.#pathField(target);
      return undefined;
    }
    if (target === "*") {
      if (this.method !== "OPTIONS") return refusals.target;
      this.path = this.#pathField(target);
      return undefined;
    }
    // The authority of an absolute target replaces Host (section 3.2.2).
    const parts = /^https?:\/\/([^/?]+)(.*)$/i.exec(target);
    if (parts === null || !isHost(parts[1]!)) return refusals.target;
    const rest = parts[2]!;
    this.authority = parts[1]!;
    const path = rest.startsWith("/") ? rest : rest === "" && this.method === "OPTIONS" ? "*" : `/${rest}`;
    this.path = this.#pathField(path);
    return undefined;
  }

  #pathField(path: string): HeaderField {
    let field = this.#paths.get(path);
    if (field === undefined) {
      field = new HeaderField(":path", path);
      if (path.length > cachedPathCharactersMax) return field;
      if (this.#paths.size === pathCacheMax) this.#paths.clear();
      this.#paths.set(path, field);
    }
    return field;
  }

  #refuse(refusal: Refusal): number {
    this.refusal = refusal;
    return refused;
  }
}

/** Reads status lines and fields of responses (RFC 9112, section 4). */
export class ResponseHeadParser {
  status = 0;
  isVersion10 = false;
  refusal: Refusal = refusals.status;
  readonly #limits: Http1Limits;
  readonly #fields: FieldSectionParser;

  constructor(limits: Http1Limits) {
    this.#limits = limits;
    this.#fields = new FieldSectionParser(limits.fieldsMax);
  }

  get section(): FieldSection {
    return this.#fields.section;
  }

  parse(bytes: Buffer, start: number, end: number): number {
    const limit = start + this.#limits.headBytesMax;
    const visibleEnd = Math.min(end, limit);
    const result = this.#parse(bytes, start, visibleEnd);
    if (result === incomplete && visibleEnd === limit) return this.#refuse(refusals.headLength);
    return result;
  }

  #parse(bytes: Buffer, start: number, end: number): number {
    let at = parseVersion(bytes, start, end);
    if (at === incomplete) return incomplete;
    if (at === refused) return this.#refuse(versionRefusal(bytes, start, end));
    this.isVersion10 = bytes[at - 1] === 0x30;
    if (at + 5 > end) return incomplete;
    const hundreds = bytes[at + 1]! - 0x30;
    const tens = bytes[at + 2]! - 0x30;
    const ones = bytes[at + 3]! - 0x30;
    if (bytes[at] !== 0x20 || bytes[at + 4] !== 0x20) return this.#refuse(refusals.status);
    // Above 599 there is no class, but the layers above shall see it, as a failure of the server (RFC 9110, section 15).
    if (hundreds < 1 || hundreds > 9 || tens < 0 || tens > 9 || ones < 0 || ones > 9) {
      return this.#refuse(refusals.status);
    }
    this.status = hundreds * 100 + tens * 10 + ones;
    at += 5;
    while (at < end && (bytes[at]! === 0x09 || (bytes[at]! >= 0x20 && bytes[at] !== 0x7f))) at++;
    if (at >= end) return incomplete;
    if (bytes[at] !== 0x0d) return this.#refuse(bytes[at] === 0x0a ? refusals.bareLineFeed : refusals.firstLine);
    if (at + 1 >= end) return incomplete;
    if (bytes[at + 1] !== 0x0a) return this.#refuse(refusals.firstLine);
    at = this.#fields.parse(bytes, at + 2, end);
    if (at === refused) return this.#refuse(this.#fields.refusal);
    if (at !== incomplete && this.isVersion10 && this.section.isChunked) {
      return this.#refuse(refusals.transferEncodingVersion);
    }
    return at;
  }

  #refuse(refusal: Refusal): number {
    this.refusal = refusal;
    return refused;
  }
}

const versionForm = Uint8Array.from("HTTP/0.0", character => character.charCodeAt(0));
const digitZero = 0x30;

/** The position behind `HTTP/1.0` or `HTTP/1.1`. What has no form of a version is refused at its first wrong byte. */
function parseVersion(bytes: Buffer, start: number, end: number): number {
  for (let i = 0; i < versionForm.length; i++) {
    if (start + i >= end) return incomplete;
    const byte = bytes[start + i]!;
    const expected = versionForm[i]!;
    if (expected === digitZero ? byte < digitZero || byte > 0x39 : byte !== expected) return refused;
  }
  const isKnown = bytes[start + 5] === 0x31 && (bytes[start + 7] === 0x30 || bytes[start + 7] === 0x31);
  return isKnown ? start + 8 : refused;
}

/** 505 for a version that has the form of one (RFC 9110, section 15.6.6), 400 for anything else. */
function versionRefusal(bytes: Buffer, start: number, end: number): Refusal {
  return /^HTTP\/[0-9]\.[0-9]/.test(latin1Slice(bytes, start, Math.min(start + 8, end)))
    ? refusals.version
    : refusals.firstLine;
}

/** Strings for the methods that come often, without making them. */
function methodText(bytes: Buffer, start: number, end: number): string {
  if (end - start === 3 && bytes[start] === 0x47 && bytes[start + 1] === 0x45 && bytes[start + 2] === 0x54)
    return "GET";
  if (end - start === 4 && bytes[start] === 0x50 && bytes[start + 1] === 0x4f && bytes[start + 2] === 0x53) {
    if (bytes[start + 3] === 0x54) return "POST";
  }
  return latin1Slice(bytes, start, end);
}

/** `uri-host [ ":" port ]` (RFC 9110, section 7.2), not empty: http and https name a host. */
export function isHost(value: string): boolean {
  let at = 0;
  if (value.charCodeAt(0) === 0x5b) {
    at = value.indexOf("]") + 1;
    if (at === 0 || !isIpv6(value.slice(1, at - 1))) return false;
  } else {
    while (at < value.length && isHostByte[value.charCodeAt(at)] === 1) {
      if (value.charCodeAt(at) === 0x25 && !/^%[0-9A-Fa-f]{2}/.test(value.slice(at, at + 3))) return false;
      at++;
    }
    if (at === 0) return false;
  }
  if (at === value.length) return true;
  if (value.charCodeAt(at) !== 0x3a) return false;
  const port = value.slice(at + 1);
  return port === "" || (/^[0-9]{1,5}$/.test(port) && Number(port) <= 65_535);
}

/** IPv6address of RFC 3986, section 3.2.2. */
function isIpv6(text: string): boolean {
  const halves = text.split("::");
  if (halves.length > 2) return false;
  let groups = 0;
  for (const [half, side] of halves.entries()) {
    if (side === "") continue;
    const parts = side.split(":");
    for (const [index, part] of parts.entries()) {
      const isLast = half === halves.length - 1 && index === parts.length - 1;
      if (isLast && part.includes(".")) {
        if (!isIpv4(part)) return false;
        groups += 2;
      } else {
        if (!/^[0-9A-Fa-f]{1,4}$/.test(part)) return false;
        groups++;
      }
    }
  }
  return halves.length === 2 ? groups <= 7 : groups === 8;
}

function isIpv4(text: string): boolean {
  return /^(?:(?:25[0-5]|2[0-4][0-9]|1?[0-9]{1,2})(?:\.(?!$)|$)){4}$/.test(text);
}
