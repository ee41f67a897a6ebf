import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import { type Budget, budget } from "./budget.ts";

test("a quiet client has its reserve, a busy one a fifth of its requests", () => {
  const platform = virtualPlatform();
  const shared = budget({ platform });
  assert.equal(shared.balance(), 100);
  for (let n = 0; n < 1_000; n++) shared.deposit();
  assert.equal(shared.balance(), 300);
  let sent = 0;
  while (shared.withdraw()) sent++;
  assert.equal(sent, 300);
  platform.clock.advanceSync(10_000);
  assert.equal(shared.balance(), 100, "forgotten by time, without traffic");
});

interface Model {
  nowMs: number;
  events: { readonly atMs: number; readonly kind: "request" | "extra" }[];
}

interface Real {
  readonly platform: VirtualPlatform;
  readonly shared: Budget;
}

const inWindow = (model: Model, kind: "request" | "extra") =>
  model.events.filter(
    event => event.kind === kind && Math.floor(event.atMs / 1_000) > Math.floor(model.nowMs / 1_000) - 10,
  ).length;

const step = (name: string, run: (model: Model, real: Real) => void): fc.Command<Model, Real> => ({
  check: () => true,
  run(model, real) {
    run(model, real);
    const allowed = 20 + 0.5 * inWindow(model, "request") - inWindow(model, "extra");
    assert.equal(real.shared.balance(), Math.max(0, Math.floor(allowed)), name);
  },
  toString: () => name,
});

test("whatever is deposited, withdrawn and given back over time: it does what the plain model does", () => {
  const deposit = (times: number) =>
    step(`deposit ${times}`, (model, { shared }) => {
      for (let n = 0; n < times; n++) {
        model.events.push({ atMs: model.nowMs, kind: "request" });
        shared.deposit();
      }
    });
  const withdraw = step("withdraw", (model, { shared }) => {
    const isAllowed = inWindow(model, "extra") + 1 <= 20 + 0.5 * inWindow(model, "request");
    assert.equal(shared.withdraw(), isAllowed);
    if (isAllowed) model.events.push({ atMs: model.nowMs, kind: "extra" });
  });
  const refund = step("refund", (model, { shared }) => {
    const at = model.events.findLastIndex(event => event.kind === "extra");
    if (at >= 0 && inWindow(model, "extra") > 0) model.events.splice(at, 1);
    shared.refund();
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
          fc.constantFrom(1, 10).map(deposit),
          fc.constant(withdraw),
          fc.constant(withdraw),
          fc.constant(refund),
          fc.constantFrom(1, 500, 999, 3_000, 20_000).map(tick),
        ],
        { maxCommands: 150, size: "max" },
      ),
      commands =>
        fc.modelRun(() => {
          const platform = virtualPlatform();
          const shared = budget({ ratio: 0.5, reservePerSecond: 2, platform });
          return { model: { nowMs: 0, events: [] }, real: { platform, shared } };
        }, commands),
    ),
  );
});
