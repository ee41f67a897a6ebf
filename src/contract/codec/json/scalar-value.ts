import { ScalarType } from "@bufbuild/protobuf";
import { CodecError, describe } from "../codec-error.ts";
import { isLong } from "../plan.ts";

/** The value of a scalar field from a parsed JSON value that is not null. */
export type ScalarValue = (json: unknown) => unknown;

function wrong(rule: string, reason: string, json: unknown): CodecError {
  return new CodecError(`${rule}.${reason}`, `expected ${rule}, got ${describe(json)}`);
}

function stringValue(json: unknown): string {
  if (typeof json !== "string") throw wrong("string", "type", json);
  if (!json.isWellFormed()) throw wrong("string", "utf8", json);
  return json;
}

function boolValue(json: unknown): boolean {
  if (typeof json !== "boolean") throw wrong("bool", "type", json);
  return json;
}

/** Text that is a number as a whole: no empty text, no white space around it. */
function numberOf(json: unknown): unknown {
  if (typeof json !== "string" || json === "" || json.trim().length !== json.length) return json;
  const number = Number(json);
  return Number.isNaN(number) ? json : number;
}

function integerValue(rule: string, min: number, max: number): ScalarValue {
  return json => {
    const number = numberOf(json);
    if (typeof number !== "number" || !Number.isInteger(number)) throw wrong(rule, "type", json);
    if (number < min || number > max) throw wrong(rule, "range", json);
    return number;
  };
}

const int32Value = integerValue("int32", -0x80000000, 0x7fffffff);
const uint32Value = integerValue("uint32", 0, 0xffffffff);

function floatingValue(rule: "double" | "float"): ScalarValue {
  return json => {
    if (json === "NaN") return Number.NaN;
    if (json === "Infinity") return Number.POSITIVE_INFINITY;
    if (json === "-Infinity") return Number.NEGATIVE_INFINITY;
    const number = numberOf(json);
    if (typeof number !== "number") throw wrong(rule, "type", json);
    if (!Number.isFinite(number)) throw wrong(rule, "finite", json);
    if (rule === "float" && !Number.isFinite(Math.fround(number))) throw wrong(rule, "range", json);
    return number;
  };
}

function longValue(rule: "int64" | "uint64", longAsString: boolean): ScalarValue {
  const isSigned = rule === "int64";
  return json => {
    if (typeof json !== "number" && typeof json !== "bigint" && (typeof json !== "string" || json === "")) {
      throw wrong(rule, "type", json);
    }
    let long: bigint;
    try {
      long = BigInt(json);
    } catch {
      throw wrong(rule, "type", json);
    }
    if ((isSigned ? BigInt.asIntN(64, long) : BigInt.asUintN(64, long)) !== long) throw wrong(rule, "range", json);
    return longAsString ? String(json) : long;
  };
}

const base64Alphabet = /^[A-Za-z0-9+/\-_=\n\r\t ]*$/;
/** As encoders write it: whole groups, padding only at the end. Half of the time of a message that is mostly bytes. */
const usualBase64 = /^[A-Za-z0-9+/\-_]*={0,2}$/;

/** Base64 of either alphabet, with or without padding and with white space anywhere. */
function bytesValue(json: unknown): Uint8Array {
  if (json instanceof Uint8Array) return json;
  if (typeof json !== "string") throw wrong("bytes", "type", json);
  if (json.length % 4 === 0 && usualBase64.test(json)) {
    // A view of Node's pool where it is small: memory of its own costs three times as much as decoding.
    const { buffer, byteOffset, length } = Buffer.from(json, "base64");
    return new Uint8Array(buffer, byteOffset, length);
  }
  if (!base64Alphabet.test(json)) throw wrong("bytes", "base64", json);
  const digits = json.replace(/[\n\r\t ]/g, "");
  // Padding ends a group, also in the middle: encodings may have been concatenated.
  const groups = digits.split(/=+/);
  if ((groups.at(-1) ?? "").length % 4 === 1) throw wrong("bytes", "base64", json);
  const decoded = groups.map(group => Buffer.from(group, "base64"));
  const bytes = new Uint8Array(decoded.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of decoded) {
    bytes.set(part, at);
    at += part.length;
  }
  return bytes;
}

export function scalarValue(type: ScalarType, longAsString: boolean): ScalarValue {
  if (isLong(type)) {
    const isUnsigned = type === ScalarType.UINT64 || type === ScalarType.FIXED64;
    return longValue(isUnsigned ? "uint64" : "int64", longAsString);
  }
  switch (type) {
    case ScalarType.STRING:
      return stringValue;
    case ScalarType.BOOL:
      return boolValue;
    case ScalarType.BYTES:
      return bytesValue;
    case ScalarType.DOUBLE:
      return floatingValue("double");
    case ScalarType.FLOAT:
      return floatingValue("float");
    case ScalarType.UINT32:
    case ScalarType.FIXED32:
      return uint32Value;
    default:
      return int32Value;
  }
}

/** A map's key: two spellings of one key are one key. */
export function mapKeyOf(type: ScalarType): (key: string) => string {
  if (type === ScalarType.STRING) return key => stringValue(key);
  if (type === ScalarType.BOOL) {
    return key => {
      if (key !== "true" && key !== "false") throw wrong("bool", "type", key);
      return key;
    };
  }
  const value = scalarValue(type, false);
  if (!isLong(type)) return key => String(value(key));
  return key => {
    value(key);
    return /^-?0+$/.test(key) ? "0" : key.replace(/^(-?)0+(?=\d)/, "$1");
  };
}
