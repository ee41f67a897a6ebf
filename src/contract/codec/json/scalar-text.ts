import { ScalarType } from "@bufbuild/protobuf";
import { CodecError, describe } from "../codec-error.ts";

/** The JSON text of a scalar. */
export type ScalarText = (value: unknown) => string;

/** Whether short text goes between quotes as it is: the usual case. Longer text is left to the native function. */
export function isPlain(text: string): boolean {
  const length = text.length;
  if (length > 48) return false;
  for (let index = 0; index < length; index++) {
    const code = text.charCodeAt(index);
    // Controls, quotation mark, backslash, and everything from the surrogates on.
    if (code < 0x20 || code === 0x22 || code === 0x5c || code > 0xd7ff) return false;
  }
  return true;
}

/** A string in quotes. */
export function quote(text: string): string {
  return isPlain(text) ? `"${text}"` : JSON.stringify(text);
}

function mismatch(expected: string, value: unknown): CodecError {
  return new CodecError(`${expected}.type`, `expected ${expected}, got ${describe(value)}`);
}

function stringText(value: unknown): string {
  if (typeof value !== "string") throw mismatch("string", value);
  return quote(value);
}

function boolText(value: unknown): string {
  if (typeof value !== "boolean") throw mismatch("bool", value);
  return value ? "true" : "false";
}

function integerText(value: unknown): string {
  if (typeof value !== "number" || !Number.isInteger(value)) throw mismatch("integer", value);
  return String(value);
}

/** Numbers; what JSON has no number for becomes text. */
export function doubleText(value: unknown): string {
  if (typeof value !== "number") throw mismatch("number", value);
  if (Number.isFinite(value)) return String(value);
  return `"${value}"`;
}

function longText(value: unknown): string {
  if (typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value))) return `"${value}"`;
  if (typeof value === "string") return quote(value);
  throw mismatch("integer", value);
}

export function bytesText(value: unknown): string {
  const bytes = Array.isArray(value) ? Uint8Array.from(value as number[]) : value;
  if (!(bytes instanceof Uint8Array)) throw mismatch("bytes", value);
  return `"${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("base64")}"`;
}

export function scalarText(type: ScalarType): ScalarText {
  switch (type) {
    case ScalarType.STRING:
      return stringText;
    case ScalarType.BOOL:
      return boolText;
    case ScalarType.BYTES:
      return bytesText;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return doubleText;
    case ScalarType.INT64:
    case ScalarType.UINT64:
    case ScalarType.SINT64:
    case ScalarType.FIXED64:
    case ScalarType.SFIXED64:
      return longText;
    default:
      return integerText;
  }
}
