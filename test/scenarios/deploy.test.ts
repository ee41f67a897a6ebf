/** Every server is replaced by one at another address, under load, while the client follows the Kubernetes API. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Host } from "./host.ts";
import { type Outcome, percentileMs, share, told, within, world } from "./world.ts";

/** Milliseconds that a long call takes, and a stream. */
const longMs = 300;

for (const [order, lateMs] of [
  ["the API tells of the new server before the old one drains", -500],
  ["the old server drains before the API has told anything", 500],
] as const) {
  test(`a rolling deploy in which ${order}: no call fails, none is run twice`, async t => {
    const made = await world(t, 3);
    const { clock } = made.platform;
    const prepare = (host: Host) => {
      host.answer = async (call, sentence) => {
        await host.work(call, sentence === "long" ? longMs : 5);
        return host.address;
      };
      host.speech = async function* (call) {
        for (let n = 0; n < 6; n++) {
          await host.work(call, longMs / 6);
          yield String(n);
        }
      };
    };
    for (const host of made.hosts) prepare(host);
    const short: Outcome[] = [];
    const long: Outcome[] = [];
    const streams: Outcome[] = [];
    const read = async () => {
      let words = "";
      for await (const { sentence } of made.client.introduce({})) words += sentence;
      assert.equal(words, "012345");
    };
    /** A hundred short calls a second, half of which may not be repeated, twenty long ones and twenty streams. */
    const load = async (ms: number) => {
      for (let passedMs = 0; passedMs < ms; passedMs += 50) {
        for (let n = 0; n < 5; n++) {
          const call = n % 2 === 0 ? made.client.say : made.client.forget;
          void made.outcome(() => call({})).then(outcome => short.push(outcome));
          if (n === 0) void made.outcome(() => made.client.forget({ sentence: "long" })).then(o => long.push(o));
          if (n === 1) void made.outcome(read).then(outcome => streams.push(outcome));
          await clock.advance(10);
        }
      }
    };
    await load(1_000);
    const fromMs = made.nowMs;
    let running = [...made.hosts];
    const backMs: number[] = [];
    for (const old of made.hosts.slice()) {
      const next = await made.addHost();
      prepare(next);
      running = [...running.filter(host => host !== old), next];
      const publish = () => made.publish(running, [old]);
      if (lateMs < 0) {
        publish();
        await load(-lateMs);
      }
      // It is gone when what it had begun is answered.
      const gone = old.drain().then(() => old.kill());
      if (lateMs >= 0) {
        await load(lateMs);
        publish();
      }
      const publishedMs = made.nowMs;
      await load(3_500);
      await gone;
      made.publish(running);
      const first = next.arrivals.find(({ atMs }) => atMs >= publishedMs + lateMs);
      backMs.push((first?.atMs ?? Number.POSITIVE_INFINITY) - publishedMs);
    }
    await load(10_000);
    await clock.advance(1_000);

    const all = [...short, ...long, ...streams];
    for (const outcomes of [short, long, streams]) assert.equal(share(outcomes), 1, told(outcomes));
    assert.equal(made.arrived(), all.length, "every call came to exactly one server");
    // A call that meets a server which drains is sent again at once; nobody waits for a time-out.
    assert.ok(percentileMs(within(short, fromMs), 99) <= 20, told(short));
    assert.ok(Math.max(...within(long, fromMs).map(({ tookMs }) => tookMs)) <= longMs + 60, told(long));
    assert.ok(Math.max(...backMs) <= 2_000, `new servers got their first calls after ${backMs.join(", ")} ms`);
    const endpoints = made.channel.endpoints().map(({ address }) => address);
    assert.deepEqual(endpoints.sort(), running.map(({ address }) => address).sort());
    for (const host of running) {
      const part = made.arrived(made.nowMs - 4_000, made.nowMs, [host]) / made.arrived(made.nowMs - 4_000);
      assert.ok(part > 0.2, `${host.address} has ${part} of the calls`);
    }
  });
}
