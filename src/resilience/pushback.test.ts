import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { parseGrpcPushback, parseRetryAfter, pushbackOf } from "./pushback.ts";

const now = Date.UTC(2026, 0, 1);

test("gRPC pushback is a whole number of milliseconds; anything else means stop", () => {
  for (const [text, expected] of [
    [undefined, undefined],
    ["0", 0],
    ["1500", 1_500],
    ["-1", "stop"],
    ["", "stop"],
    ["12.5", "stop"],
    ["1e3", "stop"],
    ["soon", "stop"],
    [" 5", "stop"],
    ["99999999999999999999", "stop"],
    ["300001", "stop"],
  ] as const) {
    assert.equal(parseGrpcPushback(text), expected, String(text));
  }
});

test("Retry-After is seconds or an HTTP date; a date of the past is now, anything else means stop", () => {
  for (const [text, expected] of [
    [undefined, undefined],
    ["0", 0],
    ["120", 120_000],
    [" 3 ", 3_000],
    ["Thu, 01 Jan 2026 00:00:07 GMT", 7_000],
    ["Wed, 31 Dec 2025 23:59:00 GMT", 0],
    ["Thursday, 01-Jan-26 00:00:07 GMT", 7_000],
    ["Thu Jan  1 00:00:07 2026", 7_000],
    ["Thu, 99 Foo 2026 00:00:07 GMT", "stop"],
    ["2026-01-01T00:00:07Z", "stop"],
    ["-5", "stop"],
    ["1.5", "stop"],
    ["NaN", "stop"],
    ["301", "stop"],
  ] as const) {
    assert.equal(parseRetryAfter(text, now), expected, String(text));
  }
});

test("whatever a peer sends, the result is absent, stop, or a finite delay that is not negative", () => {
  const check = (result: unknown) =>
    assert(result === undefined || result === "stop" || (Number.isFinite(result) && (result as number) >= 0));
  fc.assert(
    fc.property(fc.string(), fc.anything(), (text, value) => {
      check(parseGrpcPushback(text));
      check(parseRetryAfter(text, now));
      check(pushbackOf(value));
    }),
  );
  for (const value of [Number.NaN, Number.POSITIVE_INFINITY, -0.5, "5", {}, -1])
    assert.equal(pushbackOf(value), "stop");
});

test("Retry-After in the format of asctime is GMT, wherever the client runs", () => {
  const before = process.env.TZ;
  process.env.TZ = "America/New_York";
  try {
    assert.equal(parseRetryAfter("Thu Jan  1 00:00:07 2026", now), 7_000);
  } finally {
    if (before === undefined) delete process.env.TZ;
    else process.env.TZ = before;
  }
});
