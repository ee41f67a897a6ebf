import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Watermark } from "./watermark.ts";

test("what is committed waits for the oldest record that is not settled, whatever comes after it", () => {
  const watermark = new Watermark(10);
  const [a, b, c] = [watermark.deliver(10), watermark.deliver(11), watermark.deliver(12)] as const;
  assert.equal(watermark.position, 10);
  watermark.settle(c);
  watermark.settle(b);
  assert.equal(watermark.position, 10);
  watermark.settle(a);
  assert.equal(watermark.position, 13);
});

test("offsets that do not exist hold nothing up", () => {
  const watermark = new Watermark(0);
  const ticket = watermark.deliver(5);
  watermark.reach(9);
  assert.equal(watermark.position, 5);
  watermark.settle(ticket);
  assert.equal(watermark.position, 9);
  watermark.reach(20);
  assert.equal(watermark.position, 20);
  watermark.reach(3);
  assert.equal(watermark.position, 20);
});

test("an offset that comes twice is refused, and a ticket counts once", () => {
  const watermark = new Watermark(0);
  const ticket = watermark.deliver(4);
  assert.throws(() => watermark.deliver(4), /everything below 5 has been already/);
  assert.throws(() => watermark.deliver(Number.NaN), RangeError);
  assert.equal(watermark.settle(ticket), true);
  assert.equal(watermark.settle(ticket), false);
  assert.equal(watermark.settle(ticket + 1), false);
});

test("it agrees with a plain list of offsets under any order of settling", () => {
  const operation = fc.oneof(
    fc.record({ kind: fc.constant("deliver" as const), gap: fc.integer({ min: 0, max: 3 }) }),
    fc.record({ kind: fc.constant("settle" as const), at: fc.nat(300) }),
    fc.record({ kind: fc.constant("reach" as const), gap: fc.nat(5) }),
  );
  fc.assert(
    fc.property(fc.array(operation, { maxLength: 400 }), operations => {
      const watermark = new Watermark(7);
      let next = 7;
      const open: { offset: number; ticket: number }[] = [];
      for (const one of operations) {
        if (one.kind === "deliver") {
          const offset = next + one.gap;
          open.push({ offset, ticket: watermark.deliver(offset) });
          next = offset + 1;
        } else if (one.kind === "reach") {
          watermark.reach(next + one.gap);
          next += one.gap;
        } else if (open.length > 0) {
          const [settled] = open.splice(one.at % open.length, 1);
          watermark.settle((settled as { ticket: number }).ticket);
        }
        assert.equal(watermark.position, open[0]?.offset ?? next);
        assert.equal(watermark.reached, next);
      }
    }),
  );
});

test("memory follows the records between the oldest unsettled and the newest, not those that have passed", () => {
  const watermark = new Watermark(0);
  const tickets: number[] = [];
  for (let offset = 0; offset < 500_000; offset++) {
    tickets.push(watermark.deliver(offset));
    if (tickets.length > 40) watermark.settle(tickets.shift() as number);
    assert.ok(watermark.span <= 41);
  }
  assert.equal(watermark.position, 500_000 - 40);
});
