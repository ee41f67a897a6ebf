import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RpcError } from "../errors/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import type { FailureKind, Outcome, Permit } from "./permit.ts";
import { type Throttle, throttle } from "./throttle.ts";

test("a target that refuses most gets little more than twice of what it accepts", () => {
  const platform = virtualPlatform();
  const polite = throttle({ platform });
  let sent = 0;
  for (let n = 0; n < 20_000; n++) {
    platform.clock.advanceSync(10);
    const admission = polite.acquire();
    if (admission.rejected) continue;
    sent++;
    if (sent % 10 === 0) admission.success();
    else admission.failure("overload");
  }
  // With a tenth accepted, requests = 2 × accepts can only hold while most is rejected here.
  assert(sent < 20_000 * 0.5, `${sent}`);
  assert(polite.probability() > 0.5 && polite.probability() < 1);
  platform.clock.advanceSync(120_000);
  assert.equal(polite.probability(), 0);
});

test("a target that accepted nothing for minutes is tried once a second, and gets everything ten accepts after it is well", () => {
  const platform = virtualPlatform();
  const { clock } = platform;
  const polite = throttle({ platform });
  let isWell = false;
  const sentIn = (seconds: number) => {
    let sent = 0;
    for (let n = 0; n < seconds * 100; n++) {
      clock.advanceSync(10);
      const admission = polite.acquire();
      if (admission.rejected) continue;
      sent++;
      if (isWell) admission.success();
      else admission.failure("overload");
    }
    return sent;
  };
  sentIn(180);
  const tried = sentIn(60);
  assert(tried >= 59 && tried <= 65, `${tried} in a minute`);
  isWell = true;
  sentIn(11);
  assert.equal(sentIn(10), 1_000);
  assert(polite.probability() > 0.5, "though the window remembers");
  isWell = false;
  const believed = sentIn(10);
  assert(believed <= 250, `${believed} of 1,000 after the next rejection`);
});

test("errors of the application are accepts; refusals, time-outs and unreachable targets are not", async () => {
  const platform = virtualPlatform();
  const polite = throttle({ platform });
  const fail = (code: "not_found" | "internal" | "resource_exhausted" | "unavailable") =>
    polite.run(() => Promise.reject(new RpcError(code, "x"))).catch(() => {});
  for (let n = 0; n < 100; n++) await fail(n % 2 === 0 ? "not_found" : "internal");
  assert.equal(polite.probability(), 0);
  const refusing = throttle({ platform });
  for (let n = 0; n < 30; n++) {
    await refusing.run(() => Promise.reject(new RpcError("resource_exhausted", "x"))).catch(() => {});
  }
  assert(refusing.probability() > 0.9);
});

test("twenty requests are always sent, and cancelled ones are no requests", () => {
  const polite = throttle({ platform: virtualPlatform() });
  for (let n = 0; n < 20; n++) {
    const admission = polite.acquire();
    assert(!admission.rejected);
    admission.failure("unavailable");
  }
  assert.equal(polite.probability(), 0);
  const other = throttle({ platform: virtualPlatform() });
  for (let n = 0; n < 100; n++) (other.acquire() as Permit).ignore();
  assert.equal(other.probability(), 0);
});

test("a burst whose answers are still on their way is not throttled", () => {
  const polite = throttle({ platform: virtualPlatform() });
  const burst = Array.from({ length: 500 }, () => polite.acquire());
  assert(burst.every(({ rejected }) => !rejected));
  for (const admission of burst) (admission as Permit).success();
  assert.equal(polite.probability(), 0);
});

interface Model {
  nowMs: number;
  requests: number[];
  accepts: number[];
  out: Permit[];
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly polite: Throttle;
}

const recent = (model: Model, times: number[]) =>
  times.filter(ms => Math.floor(ms / 5_000) > Math.floor(model.nowMs / 5_000) - 24).length;

const step = (name: string, run: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  run(model, real) {
    run(model, real);
    const requests = recent(model, model.requests);
    const expected = requests <= 20 ? 0 : Math.max(0, (requests - 2 * recent(model, model.accepts)) / (requests + 1));
    assert.equal(real.polite.probability(), expected, name);
  },
  toString: () => name,
});

test("whatever is asked, settled and forgotten: the probability is that of the plain model", () => {
  const ask = (times: number) =>
    step(`ask ${times} times`, (model, { polite }) => {
      for (let n = 0; n < times; n++) {
        const admission = polite.acquire();
        if (admission.rejected) model.requests.push(model.nowMs);
        else model.out.push(admission);
      }
    });
  const settle = (outcome: Outcome, kind: FailureKind, times: number) =>
    step(`${times} end as ${outcome} ${kind}`, model => {
      for (const permit of model.out.splice(0, times)) {
        if (outcome !== "ignore") model.requests.push(model.nowMs);
        if (outcome === "success" || (outcome === "failure" && kind === "error")) model.accepts.push(model.nowMs);
        permit.settle(outcome, kind, Number.NaN);
        permit.success();
      }
    });
  const tick = (ms: number) =>
    step(`tick ${ms}`, (model, { platform }) => {
      model.nowMs += ms;
      platform.clock.advanceSync(ms);
    });
  fc.assert(
    fc.property(
      fc.commands(
        [
          fc.constantFrom(1, 15).map(ask),
          fc
            .tuple(
              fc.constantFrom<Outcome>("success", "failure", "ignore"),
              fc.constantFrom<FailureKind>("error", "overload", "timeout", "unavailable"),
              fc.nat(10),
            )
            .map(([outcome, kind, times]) => settle(outcome, kind, times)),
          fc.constantFrom(10, 4_999, 5_000, 60_000, 200_000).map(tick),
        ],
        { maxCommands: 100, size: "max" },
      ),
      commands =>
        fc.modelRun(() => {
          const platform = virtualPlatform();
          return {
            model: { nowMs: 0, requests: [], accepts: [], out: [] },
            real: { platform, polite: throttle({ platform }) },
          };
        }, commands),
    ),
  );
});
