import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SlidingWindow } from "./sliding-window.ts";

test("counts until they are older than the window, each series for itself", () => {
  const window = new SlidingWindow(1_000, 10, 2);
  window.add(0, 0);
  window.add(50, 1, 5);
  window.add(950, 0, 2);
  assert.deepEqual([window.total(0), window.total(1)], [3, 5]);
  window.advance(999);
  assert.deepEqual([window.total(0), window.total(1)], [3, 5]);
  window.advance(1_000);
  assert.deepEqual([window.total(0), window.total(1)], [2, 0]);
  window.advance(1_900);
  assert.equal(window.total(0), 0);
});

test("a pause of any length forgets everything", () => {
  for (const pauseMs of [1_000, 1_099, 5_000, 1e9, 1e15]) {
    const window = new SlidingWindow(1_000, 10, 1);
    for (let ms = 0; ms < 1_000; ms += 50) window.add(ms, 0);
    assert.equal(window.total(0), 20);
    window.advance(999 + pauseMs);
    assert.equal(window.total(0), 0, `${pauseMs} ms`);
  }
});

test("a clock that steps back counts into the newest bucket, and forgets nothing", () => {
  const window = new SlidingWindow(1_000, 10, 1);
  window.add(5_000, 0);
  window.add(100, 0);
  window.advance(0);
  assert.equal(window.total(0), 2);
  window.advance(5_999);
  assert.equal(window.total(0), 2);
  window.advance(6_000);
  assert.equal(window.total(0), 0);
});

test("taking back takes the newest, never below nothing, and not of another series", () => {
  const window = new SlidingWindow(1_000, 10, 2);
  window.remove(0, 0);
  window.add(0, 0);
  window.add(500, 0);
  window.add(500, 1);
  window.remove(600, 0);
  assert.deepEqual([window.total(0), window.total(1)], [1, 1]);
  window.advance(1_000);
  assert.deepEqual([window.total(0), window.total(1)], [0, 1], "what is left is the older one, and leaves first");
  window.remove(1_000, 0);
  assert.equal(window.total(0), 0);
});

test("whatever is added, taken back and waited for: it holds what a plain list of counts holds", () => {
  const step = fc.oneof(
    fc.record({ add: fc.integer({ min: 1, max: 5 }), series: fc.nat(2) }),
    fc.record({ remove: fc.nat(2) }),
    fc.record({ passMs: fc.oneof(fc.nat(30), fc.nat(400), fc.integer({ min: -200, max: 2_000 })) }),
    fc.constant({ clear: true as const }),
  );
  const shape = fc.record({ buckets: fc.integer({ min: 1, max: 12 }), bucketMs: fc.integer({ min: 1, max: 70 }) });
  fc.assert(
    fc.property(shape, fc.nat(10_000), fc.array(step, { maxLength: 80 }), ({ buckets, bucketMs }, startMs, steps) => {
      const window = new SlidingWindow(buckets * bucketMs, buckets, 3);
      /** One entry for each thing counted. */
      let held: { bucket: number; series: number }[] = [];
      let nowMs = startMs;
      let newest = Number.NEGATIVE_INFINITY;
      const advance = () => {
        newest = Math.max(newest, Math.floor(nowMs / bucketMs));
        held = held.filter(({ bucket }) => bucket > newest - buckets);
      };
      for (const one of steps) {
        if ("passMs" in one) {
          nowMs += one.passMs;
          window.advance(nowMs);
          advance();
        } else if ("add" in one) {
          advance();
          window.add(nowMs, one.series, one.add);
          for (let nth = 0; nth < one.add; nth++) held.push({ bucket: newest, series: one.series });
        } else if ("remove" in one) {
          advance();
          window.remove(nowMs, one.remove);
          const last = held
            .map(({ bucket, series }, index) => ({ bucket, series, index }))
            .filter(({ series }) => series === one.remove)
            .sort((a, b) => b.bucket - a.bucket)[0];
          if (last !== undefined) held.splice(last.index, 1);
        } else {
          window.clear();
          held = [];
        }
        for (const series of [0, 1, 2]) {
          assert.equal(window.total(series), held.filter(entry => entry.series === series).length);
        }
      }
    }),
    { numRuns: 300 },
  );
});
