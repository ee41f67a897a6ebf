import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { VirtualClock } from "../../platform/virtual/index.ts";
import { DateLine, imfFixdate } from "./http-date.ts";

test("dates are those of the calendar", () => {
  fc.assert(
    fc.property(fc.integer({ min: -30_000_000_000, max: 200_000_000_000 }), seconds => {
      assert.equal(imfFixdate(seconds * 1000), new Date(seconds * 1000).toUTCString());
    }),
  );
  for (const text of ["2000-02-29T23:59:59Z", "2100-02-28T00:00:00Z", "2100-03-01T00:00:00Z", "1999-12-31T23:59:59Z"]) {
    assert.equal(imfFixdate(Date.parse(text)), new Date(text).toUTCString());
  }
});

test("the date line changes with the second", () => {
  const clock = new VirtualClock();
  const line = new DateLine(clock);
  assert.equal(line.get(), "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
  clock.advanceSync(999);
  assert.equal(line.get(), "date: Thu, 01 Jan 2026 00:00:00 GMT\r\n");
  clock.advanceSync(1);
  assert.equal(line.get(), "date: Thu, 01 Jan 2026 00:00:01 GMT\r\n");
});
