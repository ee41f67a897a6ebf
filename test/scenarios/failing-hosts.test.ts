/** Hosts that fail: one that comes and goes, and so many at once that leaving them out would leave too few. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { RpcError } from "../../src/exports/index.ts";
import type { Host } from "./host.ts";
import { type Outcome, percentileMs, share, told, within, world } from "./world.ts";

const down = () => {
  throw new RpcError("unavailable", "down");
};

for (const kind of ["dies and is started again", "answers with errors and well again"] as const) {
  test(`a host that ${kind}, every two seconds: no call that may be repeated fails, and the host is asked little`, async t => {
    const made = await world(t, 3);
    const { clock } = made.platform;
    const [host] = made.hosts as [Host];
    const well = host.answer;
    const isProcess = kind === "dies and is started again";
    const fall = () => {
      if (isProcess) void host.kill();
      else host.answer = down;
    };
    const rise = () => {
      if (isProcess) void host.start();
      else host.answer = well;
    };
    const reads: Outcome[] = [];
    const writes: Outcome[] = [];
    const both = async (ms: number) => {
      const untilMs = made.nowMs + ms;
      while (made.nowMs < untilMs) {
        void made.outcome(() => made.client.say({})).then(outcome => reads.push(outcome));
        void made.outcome(() => made.client.forget({})).then(outcome => writes.push(outcome));
        await clock.advance(10);
      }
    };
    await both(3_000);
    const fromMs = made.nowMs;
    let arrivedWhileDown = 0;
    for (let n = 0; n < 5; n++) {
      fall();
      const fellMs = made.nowMs;
      await both(2_000);
      arrivedWhileDown += made.arrived(fellMs + 1, made.nowMs, [host]);
      rise();
      await both(2_000);
    }
    const staysMs = made.nowMs;
    await both(12_000);
    await clock.advance(2_000);

    assert.equal(share(reads), 1, told(reads));
    assert.ok(percentileMs(within(reads, fromMs, staysMs), 99) <= 60, told(reads));
    // What may not be repeated fails where it was under way: one or two calls for each fall, and the trial calls of a host
    // that answers, one a second. A third of the calls of half of the time would be 333.
    const lost = writes.filter(({ code }) => code !== "ok").length;
    assert.ok(lost <= (isProcess ? 10 : 20), `${lost} of ${writes.length} calls that may not be repeated`);
    const amplification = made.arrived() / (reads.length + writes.length);
    assert.ok(amplification <= 1.02, `${amplification}`);
    assert.ok(arrivedWhileDown <= 5 * 4, `${arrivedWhileDown} calls came to the host while it was down`);
    // It stays up for good: after ten seconds at the latest it has its third of the calls, give or take a tenth of them.
    const back =
      made.arrived(staysMs + 10_000, staysMs + 12_000, [host]) / made.arrived(staysMs + 10_000, staysMs + 12_000);
    assert.ok(back >= 0.23 && back <= 0.43, `${back} of the calls`);
  });
}

test("three of four hosts fail and may be ejected: the last one does not get it all, and all is well as soon as they are", async t => {
  const made = await world(t, 4, { channel: { balancing: { ejection: { shareMax: 1 } } } });
  const { clock } = made.platform;
  const failing = made.hosts.slice(0, 3);
  const last = made.hosts[3] as Host;
  const wells = failing.map(host => host.answer);
  const outcomes: Outcome[] = [];
  await made.offer(200, 3_000, outcomes);
  assert.equal(made.channel.isPanicking, false);

  const fromMs = made.nowMs;
  for (const host of failing) host.answer = down;
  await made.offer(200, 20_000, outcomes);
  const healedMs = made.nowMs;
  assert.equal(made.channel.isPanicking, true);
  const [panic] = made.told("balancing.panic");
  assert.ok(panic !== undefined && panic.atMs - fromMs <= 2_000, "it was seen within two seconds");
  assert.equal(made.told("balancing.endpoint.ejected").length, 3);
  // What the budget had saved up while all was well is spent after its window of ten seconds.
  const settled = [fromMs + 10_000, healedMs] as const;
  const arrived = made.arrived(...settled);
  // Without panic the last host would get everything, four times what it had before.
  for (const host of failing) {
    const part = made.arrived(...settled, [host]) / arrived;
    assert.ok(part >= 0.1, `${host.address} got ${part} of the calls: it is used`);
  }
  const atLast = made.arrived(...settled, [last]) / arrived;
  assert.ok(atLast >= 0.25 && atLast <= 0.7, `the host that works got ${atLast} of the calls`);
  // A quarter where hosts take turns; of two that are drawn the one that works is taken.
  const during = within(outcomes, ...settled);
  assert.ok(share(during) >= 0.5, told(during));
  const amplification = arrived / during.length;
  assert.ok(amplification <= 1.25, `${amplification}`);

  failing.forEach((host, index) => {
    host.answer = wells[index] as Host["answer"];
  });
  await made.offer(200, 25_000, outcomes);
  await clock.advance(1_000);
  // Their ejections would have lasted for half a minute.
  const after = within(outcomes, healedMs);
  assert.equal(share(after), 1, told(after));
  assert.ok(percentileMs(after, 99) <= 20, told(after));
  assert.equal(made.channel.isPanicking, false);
  for (const host of made.hosts) {
    const part = made.arrived(healedMs + 15_000, healedMs + 25_000, [host]) / 2_000;
    assert.ok(part > 0.12 && part < 0.4, `${host.address} has ${part} of the calls`);
  }
});
