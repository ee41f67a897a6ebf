/**
 * What a field means to HTTP/2 itself, found out once when the field is decoded: a field from the tables costs one
 * look-up afterwards.
 */
export const FieldKind = {
  regular: 0,
  method: 1,
  scheme: 2,
  authority: 3,
  path: 4,
  status: 5,
  contentLength: 6,
  host: 7,
  /** Forbidden in HTTP/2, or not a field at all: the message is malformed (RFC 9113, sections 8.2 and 8.3). */
  malformed: 8,
} as const;

const kinds: ReadonlyMap<string, number> = new Map<string, number>([
  [":method", FieldKind.method],
  [":scheme", FieldKind.scheme],
  [":authority", FieldKind.authority],
  [":path", FieldKind.path],
  [":status", FieldKind.status],
  ["content-length", FieldKind.contentLength],
  ["host", FieldKind.host],
  ["connection", FieldKind.malformed],
  ["keep-alive", FieldKind.malformed],
  ["proxy-connection", FieldKind.malformed],
  ["transfer-encoding", FieldKind.malformed],
  ["upgrade", FieldKind.malformed],
]);

/** RFC 9110 token characters in lower case. */
const nameCharacters = new Uint8Array(256);
for (const character of "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz")
  nameCharacters[character.charCodeAt(0)] = 1;

export function fieldKind(name: string, value: string): number {
  if (!isFieldValue(value)) return FieldKind.malformed;
  const kind = kinds.get(name);
  if (kind !== undefined) {
    return kind === FieldKind.contentLength && !/^[0-9]{1,15}$/.test(value) ? FieldKind.malformed : kind;
  }
  if (name === "te" && value !== "trailers") return FieldKind.malformed;
  return isFieldName(name) ? FieldKind.regular : FieldKind.malformed;
}

function isFieldName(name: string): boolean {
  for (let i = 0; i < name.length; i++) {
    if (nameCharacters[name.charCodeAt(i)] !== 1) return false;
  }
  return name.length > 0;
}

/** No NUL, CR, LF; no blank at either end (RFC 9113, section 8.2.1). */
function isFieldValue(value: string): boolean {
  const length = value.length;
  if (length === 0) return true;
  if (isBlank(value.charCodeAt(0)) || isBlank(value.charCodeAt(length - 1))) return false;
  for (let i = 0; i < length; i++) {
    const code = value.charCodeAt(i);
    if (code <= 13 && (code === 0 || code === 10 || code === 13)) return false;
  }
  return true;
}

function isBlank(code: number): boolean {
  return code === 32 || code === 9;
}
