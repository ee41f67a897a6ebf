/** Nothing of a target works for a while: what its client does meanwhile, and how soon it notices that all is well again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../../src/exports/index.ts";
import { type Outcome, percentileMs, share, told, troubledUntilMs, within, world } from "./world.ts";

const perSecond = 100;
const outageMs = 15_000;

interface Outage {
  /** Requests for each call, at most, of clients that knew the target before and of those that did not. */
  readonly amplification: { readonly warm: number; readonly cold: number };
  /** Callers wait no longer than this in the second half of the outage, 99 of 100 of them. */
  readonly p99Ms: number;
  /** From the end of the outage until every call is answered. */
  readonly recoveryMs: { readonly warm: number; readonly cold: number };
}

const outages: Readonly<Record<"die" | "fail" | "stop" | "refuse", Outage>> = {
  // Connection attempts have pauses, which grow to 5 s.
  die: { amplification: { warm: 0, cold: 0 }, p99Ms: 160, recoveryMs: { warm: 5_000, cold: 5_000 } },
  // Every call is an answer: nothing is held back. The budget allows 20 % and 10 a second, and what it had saved up.
  fail: { amplification: { warm: 1.45, cold: 1.45 }, p99Ms: 160, recoveryMs: { warm: 0, cold: 0 } },
  // The breaker tries again after pauses that double; the last one is no longer than the outage was.
  stop: {
    amplification: { warm: 0.12, cold: 0.12 },
    p99Ms: 10,
    recoveryMs: { warm: outageMs, cold: outageMs + 11_000 },
  },
  // The throttle lets twice as much through as was accepted in two minutes; then it tries once a second. It believes ten
  // accepts in a row.
  refuse: { amplification: { warm: 0.9, cold: 0.15 }, p99Ms: 160, recoveryMs: { warm: 11_000, cold: 11_000 } },
};

for (const kind of ["die", "fail", "stop", "refuse"] as const) {
  for (const before of ["warm", "cold"] as const) {
    test(`all hosts ${kind} for a quarter of a minute, the client ${before}: little is sent in vain, and it finds back`, async t => {
      const expected = outages[kind];
      const made = await world(t, 3, { target: "static" });
      const outcomes: Outcome[] = [];
      const call = () => made.client.say({}, { timeoutMs: 1_000 });
      if (before === "warm") await made.offer(perSecond, 2_000, outcomes, call);
      const wells = made.hosts.map(host => host.answer);
      const fromMs = made.nowMs;
      for (const host of made.hosts) {
        if (kind === "die") void host.kill();
        else if (kind === "stop") host.stop();
        else {
          host.answer = () => {
            if (kind === "fail") throw new RpcError("unavailable", "down");
            throw new RpcError("resource_exhausted", "too much to do", { retryAfterMs: 50 });
          };
        }
      }
      await made.offer(perSecond, outageMs, outcomes, call);
      const arrivedMeanwhile = made.arrived(fromMs);
      const healedMs = made.nowMs;
      made.hosts.forEach((host, index) => {
        if (kind === "die") void host.start();
        else if (kind === "stop") host.goOn();
        else host.answer = wells[index] as (typeof host)["answer"];
      });
      const recoveryMs = expected.recoveryMs[before];
      await made.offer(perSecond, recoveryMs + 3_000, outcomes, call);
      await made.platform.clock.advance(2_000);

      const away = within(outcomes, fromMs, healedMs);
      assert.ok(percentileMs(within(away, fromMs + outageMs / 2), 99) <= expected.p99Ms, told(away));
      // Those that stand still count what was sent to them only when they go on.
      const sent = kind === "stop" ? made.arrived(healedMs, healedMs + 100) : arrivedMeanwhile;
      assert.ok(sent / away.length <= expected.amplification[before], `${sent} requests for ${away.length} calls`);
      const after = within(outcomes, healedMs);
      const recoveredMs = troubledUntilMs(after, healedMs, 200) - healedMs;
      t.diagnostic(`${sent / away.length} requests a call meanwhile; recovered after ${recoveredMs} ms`);
      assert.ok(recoveredMs <= recoveryMs, `recovered after ${recoveredMs} ms; ${told(after)}`);
      assert.equal(share(within(after, healedMs + recoveryMs + 20)), 1);
    });
  }
}
