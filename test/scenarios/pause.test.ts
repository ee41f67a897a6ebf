/** One of three servers stops for a while, as in a garbage collection or under SIGSTOP: its connections stay open. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "./host.ts";
import { type Outcome, percentileMs, share, told, troubledUntilMs, type World, within, world } from "./world.ts";

/** Longer than a call may take where nothing is wrong: the way both ways, the service time, a little waiting. */
const ordinaryMs = 20;

/** Milliseconds from a time until a host has a fifth of the calls of a second; a third is its share. */
function backAfterMs(made: World, host: Host, fromMs: number, perSecond: number): number {
  for (let atMs = fromMs; atMs < made.nowMs; atMs += 1_000) {
    if (made.arrived(atMs, atMs + 1_000, [host]) >= perSecond / 5) return atMs - fromMs;
  }
  return Number.POSITIVE_INFINITY;
}

for (const pauseMs of [500, 4_000]) {
  test(`a pause of ${pauseMs} ms delays the calls that are there already, and next to none after them`, async t => {
    const made = await world(t, 3);
    const [host] = made.hosts as [Host];
    const outcomes: Outcome[] = [];
    await made.offer(200, 3_000, outcomes);
    const fromMs = made.nowMs;
    const untilMs = fromMs + pauseMs;
    host.stop();
    made.at(pauseMs, () => host.goOn());
    await made.offer(200, pauseMs + 1_000, outcomes);
    await made.offer(50, 84_000, outcomes);
    await made.platform.clock.advance(1_000);

    assert.equal(share(outcomes), 1, told(outcomes));
    assert.equal(made.arrived(), outcomes.length, "nothing is sent twice");
    const during = within(outcomes, fromMs, untilMs);
    // A third of all calls where hosts take turns. Here each that waits makes the host less likely to be picked.
    const slow = during.filter(({ tookMs }) => tookMs > ordinaryMs);
    assert.ok(slow.length <= 5, `${slow.length} calls waited for the host; ${told(during)}`);
    assert.ok(percentileMs(within(outcomes, fromMs), 99) <= ordinaryMs, told(during));
    assert.ok(Math.max(...during.map(({ tookMs }) => tookMs)) <= pauseMs + ordinaryMs, told(during));
    // Callers are well again in the moment in which the host goes on.
    assert.equal(troubledUntilMs(within(outcomes, untilMs), untilMs, ordinaryMs), untilMs, told(outcomes));
    // Where two hosts do it as well, the third has its share back when the latency that was seen has faded: with a time
    // constant of 10 s from what the pause took to what a call takes, then in the balance of chances.
    const backMs = backAfterMs(made, host, untilMs + 1_000, 50);
    assert.ok(backMs <= 10_000 * Math.log(pauseMs / 8) + 20_000, `its share is back after ${backMs} ms`);
  });
}

test("callers that give up early do not go on to give up at the same host", async t => {
  const made = await world(t, 3);
  const { clock } = made.platform;
  const [host] = made.hosts as [Host];
  const outcomes: Outcome[] = [];
  /** Not a deadline, which is the server's failure, but a signal of the caller's. */
  const impatient = () => {
    const controller = new AbortController();
    const timer = clock.after(100, () => controller.abort());
    return made.client.say({}, { signal: controller.signal }).finally(() => timer.cancel());
  };
  await made.offer(200, 3_000, outcomes, impatient);
  const fromMs = made.nowMs;
  host.stop();
  made.at(10_000, () => host.goOn());
  await made.offer(200, 10_000, outcomes, impatient);
  await clock.advance(1_000);
  const during = within(outcomes, fromMs);
  // A third of 2,000 where the host looks as fast as before, because nobody waits for what it takes.
  const given = during.filter(({ code }) => code === "cancelled").length;
  assert.ok(given > 0 && given <= 10, `${given} of ${during.length} gave up`);
});

test("with hedges no call waits for the pause to end", async t => {
  const made = await world(t, 3, { policy: { hedge: {} } });
  const [host] = made.hosts as [Host];
  const outcomes: Outcome[] = [];
  await made.offer(200, 5_000, outcomes);
  const fromMs = made.nowMs;
  host.stop();
  made.at(4_000, () => host.goOn());
  await made.offer(200, 8_000, outcomes);
  await made.platform.clock.advance(1_000);
  assert.equal(share(outcomes), 1, told(outcomes));
  const during = within(outcomes, fromMs);
  assert.ok(Math.max(...during.map(({ tookMs }) => tookMs)) <= 2 * ordinaryMs, told(during));
  const amplification = made.arrived(fromMs) / during.length;
  assert.ok(amplification <= 1.05, `${amplification}`);
});

test("a pause without an end in sight: calls that wait are saved by the keepalive, and the host is left out", async t => {
  const made = await world(t, 3);
  const [host] = made.hosts as [Host];
  const outcomes: Outcome[] = [];
  await made.offer(100, 3_000, outcomes);
  const fromMs = made.nowMs;
  const untilMs = fromMs + 30_000;
  host.stop();
  made.at(30_000, () => host.goOn());
  await made.offer(100, 75_000, outcomes);
  await made.platform.clock.advance(1_000);

  assert.equal(share(outcomes), 1, told(outcomes));
  const during = within(outcomes, fromMs, untilMs);
  assert.ok(percentileMs(during, 99) <= ordinaryMs, told(during));
  // 10 s of silence, 5 s for the answer to a ping, and a delay before the next attempt.
  assert.ok(Math.max(...during.map(({ tookMs }) => tookMs)) <= 15_200, told(during));
  // One trial a second at most finds out whether the host is back.
  const slow = during.filter(({ tookMs }) => tookMs > ordinaryMs).length;
  assert.ok(slow <= 30, `${slow} of ${during.length} calls found out`);
  const amplification = made.arrived(fromMs) / within(outcomes, fromMs).length;
  assert.ok(amplification <= 1.01, `${amplification}`);
  assert.equal(made.told("balancing.endpoint.ejected").length, 1);
  assert.equal(troubledUntilMs(within(outcomes, untilMs), untilMs, ordinaryMs), untilMs);
  // An ejection lasts 30 s, a slow start 10 s; it began before the pause ended.
  const backMs = backAfterMs(made, host, untilMs, 100);
  assert.ok(backMs <= 40_000, `its share is back after ${backMs} ms`);
});
