import assert from "node:assert/strict";
import { test } from "node:test";
import { acceptedEncodings, acceptedType } from "./negotiation.ts";

const json = ["application/json"] as const;
const streams = ["application/x-ndjson", "text/event-stream"] as const;

// RFC 9110, section 12.5.1
const types: readonly [accept: string | undefined, available: readonly string[], expected: string | undefined][] = [
  [undefined, json, "application/json"],
  ["", json, "application/json"],
  ["*/*", json, "application/json"],
  ["application/*", json, "application/json"],
  ["APPLICATION/JSON", json, "application/json"],
  ["application/json;charset=utf-8", json, "application/json"],
  ["text/html, application/json;q=0.1", json, "application/json"],
  ["text/html", json, undefined],
  ["application/json;q=0", json, undefined],
  ["application/json; q=0.000, */*", json, undefined],
  ["*/*;q=0", json, undefined],
  ["application/*;q=0, */*", json, undefined],
  ["application/problem+json", json, undefined],
  ["*/*", streams, "application/x-ndjson"],
  ["text/event-stream", streams, "text/event-stream"],
  ["text/event-stream, */*", streams, "application/x-ndjson"],
  ["text/event-stream, */*;q=0.5", streams, "text/event-stream"],
  ["application/x-ndjson;q=0.2, text/event-stream;q=0.3", streams, "text/event-stream"],
  ["text/*;q=0.9, application/x-ndjson;q=0.8", streams, "text/event-stream"],
  ["application/json", streams, undefined],
];
for (const [accept, available, expected] of types) {
  test(`accept: ${accept} of ${available.join(" and ")} is ${expected}`, () => {
    assert.equal(acceptedType(accept, available), expected);
  });
}

// RFC 9110, section 12.5.3
const encodings: readonly [field: string | undefined, encoding: string | undefined, isIdentityFine: boolean][] = [
  [undefined, undefined, true],
  ["", undefined, true],
  ["gzip", "gzip", true],
  ["x-gzip", "gzip", true],
  ["GZIP", "gzip", true],
  ["gzip, br, zstd", "zstd", true],
  ["gzip;q=1, br;q=0.5", "gzip", true],
  ["*", "zstd", true],
  ["zstd;q=0, *", "br", true],
  ["identity", undefined, true],
  ["gzip, identity", "gzip", true],
  ["gzip;q=0.5, identity", undefined, true],
  ["compress", undefined, true],
  ["gzip;q=0", undefined, true],
  ["*;q=0", undefined, false],
  ["identity;q=0", undefined, false],
  ["identity;q=0, gzip", "gzip", false],
  ["identity;q=0, *", "zstd", false],
  ["*;q=0, identity", undefined, true],
  ["*;q=0, br;q=0.1", "br", false],
  ["identity;q=0, compress", undefined, false],
];
for (const [field, encoding, isIdentityFine] of encodings) {
  test(`accept-encoding: ${field} is ${encoding}${isIdentityFine ? " or nothing" : " and never nothing"}`, () => {
    assert.deepEqual(acceptedEncodings(field), { encoding, isIdentityFine });
  });
}
