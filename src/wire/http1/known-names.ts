import { tokenLowerCase } from "./characters.ts";

/**
 * Field names that come often, found by the hash that the parser computes while it checks a name's bytes, so that they
 * cost no string. Any other name is a fresh lower-case string.
 */
const names = [
  // The first ones decide about framing and connection; see `KnownName`.
  "host", "content-length", "transfer-encoding", "connection", "expect", "upgrade",
  "accept", "accept-charset", "accept-encoding", "accept-language", "access-control-request-headers",
  "access-control-request-method", "age", "allow", "authorization", "baggage", "cache-control", "connect-accept-encoding",
  "connect-content-encoding", "connect-protocol-version", "connect-timeout-ms", "content-encoding", "content-language",
  "content-location", "content-range", "content-type", "cookie", "date", "etag", "expires", "forwarded", "from",
  "grpc-accept-encoding", "grpc-encoding", "grpc-message", "grpc-status", "grpc-timeout", "idempotency-key", "if-match",
  "if-modified-since", "if-none-match", "if-unmodified-since", "keep-alive", "last-modified", "link", "location", "origin",
  "pragma", "priority", "proxy-authorization", "range", "referer", "retry-after", "sec-fetch-dest", "sec-fetch-mode",
  "sec-fetch-site", "sec-websocket-key", "sec-websocket-protocol", "sec-websocket-version", "server", "set-cookie", "te",
  "trace", "traceparent", "tracestate", "trailer", "upgrade-insecure-requests", "user-agent", "vary", "via",
  "www-authenticate", "x-correlation-id", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip",
  "x-request-id", "x-user-agent",
] as const; // biome-ignore format: a table

/** Indexes of the names that the parser itself looks at. */
export const KnownName = {
  host: 0,
  contentLength: 1,
  transferEncoding: 2,
  connection: 3,
  expect: 4,
  upgrade: 5,
} as const;

/** One step of the hash; `lower` is the lower-case byte. Starts from 0. */
export function hashStep(hash: number, lower: number): number {
  return (Math.imul(hash, 31) + lower) | 0;
}

const slotBits = 10;
const slots = new Int16Array(1 << slotBits).fill(-1);
const nameBytes: Uint8Array[] = [];

for (const [index, name] of names.entries()) {
  const bytes = Uint8Array.from(name, character => character.charCodeAt(0));
  nameBytes.push(bytes);
  let slot = firstSlot(bytes.reduce(hashStep, 0));
  while (slots[slot] !== -1) slot = (slot + 1) & (slots.length - 1);
  slots[slot] = index;
}

function firstSlot(hash: number): number {
  return Math.imul(hash, 0x9e3779b1) >>> (32 - slotBits);
}

/** The index of the name in `bytes.subarray(start, end)`, compared without case; −1 for an unknown one. */
export function knownNameIndex(bytes: Buffer, start: number, end: number, hash: number): number {
  let slot = firstSlot(hash);
  for (;;) {
    const index = slots[slot]!;
    if (index === -1) return -1;
    if (isSameName(nameBytes[index]!, bytes, start, end)) return index;
    slot = (slot + 1) & (slots.length - 1);
  }
}

function isSameName(name: Uint8Array, bytes: Buffer, start: number, end: number): boolean {
  if (name.length !== end - start) return false;
  for (let i = 0; i < name.length; i++) {
    if (tokenLowerCase[bytes[start + i]!] !== name[i]) return false;
  }
  return true;
}

export function knownName(index: number): string {
  return names[index]!;
}
