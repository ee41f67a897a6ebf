/** The client's own zone is lost at once: its calls go to the other zones, and come back when the zone does. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../../src/exports/index.ts";
import { type Outcome, percentileMs, share, told, type WorldOptions, within, world } from "./world.ts";

const zones = ["a", "a", "a", "b", "b", "b", "c", "c", "c"];
const perSecond = 200;

interface Loss {
  readonly options?: WorldOptions;
  readonly successMin: number;
  /** The longest that 99 of 100 calls take while the zone is away. */
  readonly p99Ms: number;
  /** Calls a second that find out whether the zone is back: one for each of its hosts, and what began before it was known. */
  readonly trialsPerSecond: number;
  /** Milliseconds until half of the calls, and until all but a few are back in the zone. */
  readonly halfBackMs: number;
  readonly backMs: number;
}

const losses: Readonly<Record<"die" | "fail" | "stop", Loss>> = {
  // Its endpoints leave the list, too, and are new when they come back.
  die: { successMin: 1, p99Ms: 20, trialsPerSecond: 0, halfBackMs: 7_000, backMs: 12_000 },
  fail: { successMin: 1, p99Ms: 110, trialsPerSecond: 3, halfBackMs: 3_000, backMs: 45_000 },
  // Silence is told from slowness by the attempt's time limit alone.
  stop: {
    options: { policy: { attemptTimeoutMs: 200 } },
    successMin: 0.995,
    p99Ms: 260,
    trialsPerSecond: 3,
    halfBackMs: 3_000,
    backMs: 45_000,
  },
};

for (const kind of ["die", "fail", "stop"] as const) {
  test(`all hosts of the client's zone ${kind}: the other zones take its calls evenly, and give them back`, async t => {
    const { options, ...expected } = losses[kind];
    const made = await world(t, zones.length, { zones, channel: { balancing: { zone: "a" } }, ...options });
    const own = made.hosts.slice(0, 3);
    const others = made.hosts.slice(3);
    const wells = own.map(host => host.answer);
    const outcomes: Outcome[] = [];
    await made.offer(perSecond, 3_000, outcomes);
    assert.equal(made.arrived(0, made.nowMs, others), 0, "all calls stay in the zone while it is well");

    const lostMs = made.nowMs;
    for (const host of own) {
      if (kind === "die") void host.kill();
      else if (kind === "stop") host.stop();
      else {
        host.answer = () => {
          throw new RpcError("unavailable", "the zone is down");
        };
      }
    }
    await made.offer(perSecond, 4_000, outcomes);
    if (kind === "die") made.publish(others);
    await made.offer(perSecond, 4_000, outcomes);
    const returnedMs = made.nowMs;
    const away = within(outcomes, lostMs, returnedMs);
    const settledMs = lostMs + 1_000;

    own.forEach((host, index) => {
      if (kind === "die") void host.start();
      else if (kind === "stop") host.goOn();
      else host.answer = wells[index] as (typeof host)["answer"];
    });
    if (kind === "die") made.publish();
    await made.offer(perSecond, expected.backMs + 3_000, outcomes);
    await made.platform.clock.advance(1_000);

    assert.ok(share(away) >= expected.successMin, told(away));
    assert.ok(percentileMs(away, 99) <= expected.p99Ms, told(away));
    const amplification = made.arrived(lostMs, returnedMs) / away.length;
    assert.ok(amplification <= 1.05, `${amplification}`);
    // What arrives after the return was sent before it where hosts only stood still.
    const trials = own.flatMap(({ arrivals }) => arrivals).filter(({ atMs }) => atMs >= settledMs && atMs < returnedMs);
    const seconds = (returnedMs - settledMs) / 1_000;
    assert.ok(trials.length <= expected.trialsPerSecond * seconds, `${trials.length} calls went to the zone meanwhile`);
    // Nobody gets what the zone cannot take, least of all the first in the list.
    for (let atMs = lostMs; atMs < returnedMs; atMs += 1_000) {
      const counts = others.map(host => made.arrived(atMs, atMs + 1_000, [host]));
      const fair = perSecond / others.length;
      assert.ok(
        Math.max(...counts) <= fair * 1.8,
        `${counts} of ${perSecond} calls in the second at ${atMs - lostMs} ms`,
      );
    }

    const after = within(outcomes, returnedMs);
    assert.equal(share(within(after, returnedMs + 200)), 1, told(after));
    const inZone = (fromMs: number) => made.arrived(fromMs, fromMs + 1_000, own) / made.arrived(fromMs, fromMs + 1_000);
    const half = inZone(returnedMs + expected.halfBackMs);
    assert.ok(half >= 0.5, `${half} of the calls were back after ${expected.halfBackMs} ms`);
    const back = inZone(returnedMs + expected.backMs);
    assert.ok(back >= 0.98, `${back} of the calls were back after ${expected.backMs} ms`);
    if (kind === "die") {
      const atOnce = inZone(returnedMs);
      assert.ok(atOnce <= 0.4, `${atOnce} of the calls came to servers that were started this second`);
    }
  });
}
