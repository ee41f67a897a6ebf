import assert from "node:assert/strict";
import { test } from "node:test";
import { RefillingBudget } from "./budget.ts";
import { completeLimits, http2Limits, limitToken } from "./limits.ts";

test("the defaults hold all relations, and changes are laid over them", () => {
  assert.deepEqual(completeLimits(undefined), http2Limits);
  assert.equal(completeLimits({ idleMs: 5 }).idleMs, 5);
});

test("limits that contradict each other are refused by name", () => {
  assert.throws(() => completeLimits({ frameBytesMax: 1_000 }), /frameBytesMax/);
  assert.throws(() => completeLimits({ windowBytes: 1e9 }), /windowBytes/);
  assert.throws(() => completeLimits({ connectionWindowBytesMax: 2 ** 31 }), /connectionWindowBytesMax/);
  assert.throws(() => completeLimits({ streamBufferLowBytes: 1e9 }), /streamBufferLowBytes/);
});

test("tokens are unique", () => {
  const budgets = Object.values(http2Limits).filter(limit => typeof limit === "object");
  const tokens = [...budgets.map(budget => budget.token), ...Object.values(limitToken)];
  assert.equal(new Set(tokens).size, tokens.length);
});

test("a budget refills with time and with honest work, never above its burst", () => {
  const budget = new RefillingBudget({ burst: 2, perSecond: 1, token: "t" }, 0);
  assert.deepEqual([budget.spend(0), budget.spend(0), budget.spend(0)], [true, true, false]);
  assert.equal(budget.spend(1_000), true);
  assert.equal(budget.spend(1_500), false);
  budget.giveBack(100);
  assert.deepEqual([budget.spend(1_500), budget.spend(1_500), budget.spend(1_500)], [true, true, false]);
  assert.equal(budget.spend(1_000_000), true);
});
