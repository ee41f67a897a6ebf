import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { EndpointLoad } from "./endpoint-load.ts";
import { balancingLimits } from "./limits.ts";

const settledLoad = (): EndpointLoad => new EndpointLoad(balancingLimits, Number.NEGATIVE_INFINITY);

function succeed(load: EndpointLoad, nowMs: number, latencyMs: number): void {
  load.begun();
  load.succeeded(nowMs, latencyMs);
}

function fail(load: EndpointLoad, nowMs: number, latencyMs = 1, pushbackMs = 0, cause?: unknown): boolean {
  load.begun();
  return load.failed(nowMs, latencyMs, pushbackMs, cause);
}

it("a latency that rises counts at once, one that falls slowly", () => {
  const load = settledLoad();
  succeed(load, 0, 10);
  succeed(load, 100, 200);
  assert.equal(load.costMs(100), 200);
  succeed(load, 200, 10);
  assert(load.costMs(200) > 190);
  for (let nowMs = 300; nowMs < 60_000; nowMs += 100) succeed(load, nowMs, 10);
  assert(Math.abs(load.costMs(59_900) - 10) < 1);
});

it("an idle endpoint's bad memory fades", () => {
  const load = settledLoad();
  succeed(load, 0, 1_000);
  assert(load.costMs(30_000) < 60);
});

it("a call that nobody waits for any more took as long as it was waited for, at least", () => {
  const load = settledLoad();
  const giveUp = (nowMs: number, waitedMs: number) => {
    load.begun();
    load.unanswered(nowMs, waitedMs);
  };
  succeed(load, 0, 10);
  giveUp(0, 3);
  assert.equal(load.costMs(0), 10, "less than is known says nothing");
  giveUp(0, 40);
  assert.equal(load.costMs(0), 40);
  assert.equal(load.pending, 0);
  // What is known fades; then it is more again.
  giveUp(30_000, 20);
  assert.equal(load.costMs(30_000), 20);
});

it("a success that says nothing of the speed ends a penalty and leaves the latency as it is", () => {
  const load = settledLoad();
  succeed(load, 0, 10);
  fail(load, 0);
  load.begun();
  load.succeeded(0, undefined);
  assert.equal(load.isPenalised(0), false);
  assert(load.costMs(0) < 12, String(load.costMs(0)));
});

it("nothing is known of an endpoint before its first answer", () => {
  assert(settledLoad().costMs(0) < 0);
});

it("a failure counts as five seconds for five seconds, and a success ends that", () => {
  const load = settledLoad();
  succeed(load, 0, 10);
  fail(load, 100);
  assert.equal(load.costMs(100), 5_000);
  assert(load.isPenalised(5_099));
  assert(!load.isPenalised(5_100));
  fail(load, 6_000);
  succeed(load, 6_500, 10);
  assert(!load.isPenalised(6_500));
});

it("the penalty doubles to a minute while calls that began under it fail", () => {
  const load = settledLoad();
  const penalties: number[] = [];
  for (let round = 0, nowMs = 0; round < 6; round++) {
    fail(load, nowMs);
    const penaltyMs = load.costMs(nowMs);
    penalties.push(penaltyMs);
    nowMs += penaltyMs + 10;
  }
  assert.deepEqual(penalties, [5_000, 10_000, 20_000, 40_000, 60_000, 60_000]);
});

it("many calls that were under way together double nothing when they fail", () => {
  const load = settledLoad();
  for (let call = 0; call < 50; call++) fail(load, 1_000 + call, 500);
  assert.equal(load.costMs(1_050), 5_000);
});

it("calls that fail by one lost connection count once", () => {
  const load = settledLoad();
  const lost = new Error("connection lost");
  assert(fail(load, 0, 1, 0, lost));
  assert(!fail(load, 0, 1, 0, lost));
  assert(fail(load, 0, 1, 0, new Error("another")));
  assert.equal(load.pending, 0);
});

it("a server that asks to be left alone for longer than the penalty is left alone for so long, a minute at most", () => {
  const load = settledLoad();
  fail(load, 0, 1, 12_000);
  assert(load.isPenalised(11_999));
  assert(!load.isPenalised(12_000));
  const greedy = settledLoad();
  fail(greedy, 0, 1, Number.MAX_SAFE_INTEGER);
  assert(!greedy.isPenalised(60_000));
});

it("an endpoint that fails half of its calls looks twice as slow", () => {
  const load = settledLoad();
  for (let call = 0; call < 400; call++) {
    if (call % 2 === 0) fail(load, call * 100);
    else succeed(load, call * 100, 10);
  }
  const costMs = load.costMs(39_900);
  assert(costMs > 17 && costMs < 24, String(costMs));
});

it("another process at the address begins anew, with a slow start", () => {
  const load = settledLoad();
  fail(load, 0);
  load.begun();
  load.restart(1_000);
  assert(!load.isPenalised(1_000));
  assert(load.costMs(1_000) < 0);
  assert.equal(load.share(1_000), 0.1);
  assert.equal(load.share(6_000), 0.5);
  assert.equal(load.share(11_000), 1);
  assert.equal(load.pending, 1);
});

it("whatever happens in whatever sequence, costs and shares stay usable numbers", () => {
  const step = fc.record({
    kind: fc.constantFrom("succeed", "fail", "restart", "trial"),
    waitMs: fc.double({ min: 0, max: 1e7, noNaN: true }),
    latencyMs: fc.double({ min: -10, max: 1e9, noNaN: true }),
    pushbackMs: fc.oneof(fc.constant(0), fc.double({ min: 0, max: 1e12, noNaN: true })),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 60 }), steps => {
      const load = settledLoad();
      let nowMs = 0;
      for (const { kind, waitMs, latencyMs, pushbackMs } of steps) {
        nowMs += waitMs;
        if (kind === "succeed") succeed(load, nowMs, latencyMs);
        else if (kind === "fail") fail(load, nowMs, latencyMs, pushbackMs);
        else if (kind === "restart") load.restart(nowMs);
        else load.takeTrial(nowMs);
        const costMs = load.costMs(nowMs);
        assert(Number.isFinite(costMs) && (costMs > 0 || costMs === -1), `cost ${costMs}`);
        const share = load.share(nowMs);
        assert(share >= 0.1 && share <= 1, `share ${share}`);
        assert.equal(load.pending, 0);
      }
    }),
  );
});
