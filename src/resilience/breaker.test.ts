import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { type Breaker, type BreakerChange, type BreakerState, breaker } from "./breaker.ts";
import type { Outcome, Permit } from "./permit.ts";

/** Admission that must have been given. */
function admitted(circuit: Breaker): Permit {
  const admission = circuit.acquire();
  assert(!admission.rejected, "expected to be admitted");
  return admission;
}

function failTimes(circuit: Breaker, times: number): void {
  for (let n = 0; n < times; n++) admitted(circuit).failure();
}

test("the guide's breaker opens on the fifth failure in a row and tries again after 60 s", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ failures: 5, openMs: 60_000, platform });
  failTimes(circuit, 4);
  admitted(circuit).success();
  failTimes(circuit, 4);
  assert.equal(circuit.state, "closed");
  failTimes(circuit, 1);
  assert.equal(circuit.state, "open");

  platform.clock.advanceSync(59_999);
  const rejection = circuit.acquire();
  assert(rejection.rejected);
  assert.equal(rejection.reason, "breaker_open");
  assert.equal(rejection.retryAfterMs, 1);
  platform.clock.advanceSync(1);
  admitted(circuit).success();
  assert.equal(circuit.state, "closed");
});

test("failures alone switch the ratio rule off", () => {
  const circuit = breaker({ failures: 5, platform: virtualPlatform() });
  for (let n = 0; n < 100; n++) {
    failTimes(circuit, 4);
    admitted(circuit).success();
  }
  assert.equal(circuit.state, "closed");
});

test("half of at least twenty calls of the last ten seconds open it", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ platform });
  const alternate = (times: number) => {
    for (let n = 0; n < times; n++) {
      admitted(circuit).success();
      admitted(circuit).failure();
    }
  };
  alternate(9);
  platform.clock.advanceSync(10_000);
  alternate(9);
  assert.equal(circuit.state, "closed", "18 calls of the past are forgotten by time");
  alternate(1);
  assert.equal(circuit.state, "open");
});

test("slow calls open it when asked for, although they succeed", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ slowMs: 100, slowRatio: 0.5, minimumCalls: 4, platform });
  for (const latencyMs of [50, 50, 101]) admitted(circuit).success(latencyMs);
  assert.equal(circuit.state, "closed");
  admitted(circuit).success(200);
  assert.equal(circuit.state, "open");
});

test("the open time doubles from probe to probe up to its bound, and half of it is random", () => {
  const platform = virtualPlatform();
  const opened: number[] = [];
  const circuit = breaker({ failures: 1, openMs: { initialMs: 1_000, maxMs: 8_000 }, platform });
  failTimes(circuit, 1);
  for (let round = 0; round < 6; round++) {
    const rejection = circuit.acquire();
    assert(rejection.rejected);
    opened.push(rejection.retryAfterMs ?? Number.NaN);
    platform.clock.advanceSync(rejection.retryAfterMs ?? 0);
    failTimes(circuit, 1);
  }
  for (const [round, ms] of opened.entries()) {
    const grownMs = Math.min(1_000 * 2 ** round, 8_000);
    assert(ms >= grownMs / 2 && ms <= grownMs, `round ${round}: ${ms}`);
  }
  assert.notEqual(opened[4], opened[5]);
});

test("a target that flaps is asked less and less often; one that stayed well begins anew", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ failures: 1, openMs: { initialMs: 1_000 }, windowMs: undefined, platform });
  const openMs = () => {
    failTimes(circuit, 1);
    const rejection = circuit.acquire();
    assert(rejection.rejected);
    const ms = rejection.retryAfterMs ?? Number.NaN;
    platform.clock.advanceSync(ms);
    admitted(circuit).success();
    assert.equal(circuit.state, "closed");
    return ms;
  };
  const flapping = [openMs(), openMs(), openMs(), openMs()];
  assert((flapping[3] ?? 0) >= 4_000, `${flapping}`);
  platform.clock.advanceSync(10_000);
  assert(openMs() <= 1_000);
});

test("failures that share a cause and were under way together count once", () => {
  const circuit = breaker({ failures: 3, platform: virtualPlatform() });
  const lost = new Error("connection lost");
  const together = Array.from({ length: 10 }, () => admitted(circuit));
  for (const permit of together) permit.failure("unavailable", 5, lost);
  assert.equal(circuit.state, "closed");
  admitted(circuit).failure("unavailable", 5, lost);
  admitted(circuit).failure("unavailable", 5, lost);
  assert.equal(circuit.state, "open", "later work has met the cause for itself");
});

test("forced states stay until they are lifted", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ failures: 1, platform });
  circuit.forceOpen();
  platform.clock.advanceSync(3_600_000);
  assert(circuit.acquire().rejected);
  circuit.forceClosed();
  failTimes(circuit, 50);
  assert.equal(circuit.state, "forced_closed");
  circuit.reset();
  failTimes(circuit, 1);
  assert.equal(circuit.state, "open");
});

test("subscribers hear every change until they leave, and one that throws disturbs nobody", () => {
  const platform = virtualPlatform();
  const circuit = breaker({ failures: 1, openMs: 1_000, platform });
  const heard: BreakerChange[] = [];
  const mistakes: unknown[] = [];
  // A mistake of a listener is the process's: here it is caught where the clock runs ends of turns.
  platform.clock.endOfTurn = run => {
    try {
      run();
    } catch (error) {
      mistakes.push(error);
    }
  };
  circuit.subscribe(() => {
    throw new Error("a mistake of the listener");
  });
  const leave = circuit.subscribe(change => heard.push(change));
  failTimes(circuit, 1);
  platform.clock.advanceSync(1_000);
  admitted(circuit).success();
  leave();
  failTimes(circuit, 1);
  assert.deepEqual(
    heard.map(({ from, to, reason, atMs }) => [from, to, reason, atMs]),
    [
      ["closed", "open", "failures", 0],
      ["open", "half_open", "open_time_over", 1_000],
      ["half_open", "closed", "recovered", 1_000],
    ],
  );
  assert.equal(mistakes.length, 4);
});

test("a clock that steps back does not prolong the open time", () => {
  let nowMs = 1_000_000;
  const platform = virtualPlatform();
  platform.clock.now = () => nowMs;
  const circuit = breaker({ failures: 1, openMs: 5_000, platform });
  failTimes(circuit, 1);
  nowMs = 0;
  assert(circuit.acquire().rejected);
  nowMs = 5_000;
  assert(!circuit.acquire().rejected);
});

// ── against a plain model ────────────────────────────────────────────────────────────────────────────────────────────

const options = {
  failures: 3,
  ratio: 0.5,
  minimumCalls: 5,
  windowMs: 10_000,
  openMs: 5_000,
  probes: 2,
  leaseMs: 1_000,
};

interface Out {
  readonly permit: Permit;
  readonly generation: number;
  readonly leaseUntilMs: number;
}

/** The rules in the plainest words: all calls of the window in a list. */
interface Model {
  nowMs: number;
  state: BreakerState;
  generation: number;
  consecutive: number;
  calls: { readonly atMs: number; readonly failed: boolean }[];
  openedAtMs: number;
  probes: Out[];
  succeeded: number;
  out: Out[];
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly circuit: Breaker;
}

function move(model: Model, state: BreakerState): void {
  model.state = state;
  model.generation++;
  model.consecutive = 0;
  model.calls = [];
  model.probes = [];
  model.succeeded = 0;
  if (state === "open") model.openedAtMs = model.nowMs;
}

function expire(model: Model): void {
  if (model.state === "half_open" && model.probes.some(probe => probe.leaseUntilMs <= model.nowMs)) move(model, "open");
}

function modelAdmits(model: Model): boolean {
  expire(model);
  if (model.state === "open" && model.nowMs - model.openedAtMs >= options.openMs) move(model, "half_open");
  if (model.state === "half_open") return model.probes.length + model.succeeded < options.probes;
  return model.state === "closed" || model.state === "forced_closed";
}

function modelSettles(model: Model, out: Out, outcome: Outcome): void {
  if (out.generation !== model.generation) return;
  if (model.state === "half_open") {
    expire(model);
    if (out.generation !== model.generation) return;
    model.probes = model.probes.filter(probe => probe !== out);
    if (outcome === "failure") move(model, "open");
    else if (outcome === "success" && ++model.succeeded === options.probes) move(model, "closed");
    return;
  }
  if (model.state !== "closed" || outcome === "ignore") return;
  const bucket = (ms: number) => Math.floor(ms / 1_000);
  model.calls = model.calls.filter(call => bucket(call.atMs) > bucket(model.nowMs) - 10);
  model.calls.push({ atMs: model.nowMs, failed: outcome === "failure" });
  model.consecutive = outcome === "failure" ? model.consecutive + 1 : 0;
  if (outcome === "success") return;
  const failed = model.calls.filter(call => call.failed).length;
  const isShareReached = model.calls.length >= options.minimumCalls && failed / model.calls.length >= options.ratio;
  if (model.consecutive >= options.failures || isShareReached) move(model, "open");
}

type Step = fc.Command<Model, Real>;

const step = (name: string, run: (model: Model, real: Real) => void): Step => ({
  check: () => true,
  run(model, real) {
    run(model, real);
    expire(model);
    assert.equal(real.circuit.state, model.state, name);
  },
  toString: () => name,
});

const admit = step("admit", (model, { circuit }) => {
  const expected = modelAdmits(model);
  const admission = circuit.acquire();
  assert.equal(!admission.rejected, expected, "admitted");
  if (admission.rejected) return;
  const isProbe = model.state === "half_open";
  const leaseUntilMs = isProbe ? model.nowMs + options.leaseMs : Number.POSITIVE_INFINITY;
  const out = { permit: admission, generation: model.generation, leaseUntilMs };
  model.out.push(out);
  if (isProbe) model.probes.push(out);
});

const settle = (at: number, outcome: Outcome, keep: boolean) =>
  step(`settle ${at} as ${outcome}${keep ? ", to be settled again" : ""}`, model => {
    const index = at % Math.max(model.out.length, 1);
    const out = model.out[index];
    if (out === undefined) return;
    if (!keep) model.out.splice(index, 1);
    if (!out.permit.isSettled) modelSettles(model, out, outcome);
    out.permit.settle(outcome, "error", Number.NaN);
  });

const tick = (ms: number) =>
  step(`tick ${ms}`, (model, { platform }) => {
    model.nowMs += ms;
    platform.clock.advanceSync(ms);
  });

test("whatever is admitted, settled, settled late or twice, and forgotten: it does what the plain model does", () => {
  const outcomes = fc.constantFrom<Outcome>("success", "failure", "failure", "ignore");
  fc.assert(
    fc.property(
      fc.commands(
        [
          fc.constant(admit),
          fc.constant(admit),
          fc.tuple(fc.nat(20), outcomes, fc.boolean()).map(([at, outcome, keep]) => settle(at, outcome, keep)),
          fc.constantFrom(1, 400, 999, 1_000, 4_999, 5_000, 12_000).map(tick),
          fc.constant(
            step("force open", (model, { circuit }) => {
              circuit.forceOpen();
              move(model, "forced_open");
            }),
          ),
          fc.constant(
            step("reset", (model, { circuit }) => {
              circuit.reset();
              move(model, "closed");
            }),
          ),
        ],
        { maxCommands: 120, size: "max" },
      ),
      commands => {
        fc.modelRun(() => {
          const platform = virtualPlatform();
          const real = { platform, circuit: breaker({ ...options, platform }) };
          const model: Model = {
            nowMs: 0,
            state: "closed",
            generation: 0,
            consecutive: 0,
            calls: [],
            openedAtMs: 0,
            probes: [],
            succeeded: 0,
            out: [],
          };
          return { model, real };
        }, commands);
      },
    ),
    { numRuns: 300 },
  );
});
