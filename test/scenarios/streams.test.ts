/** Streams of responses: repeated while nothing of them has been read, and never after. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRpcError, RpcError } from "../../src/exports/index.ts";
import type { Host } from "./host.ts";
import { type Outcome, share, told, type World, world } from "./world.ts";

const words = 3;

/** What becomes of one attempt: so many messages, then its end, an error, or the loss of its connection. */
interface Attempt {
  readonly messages: number;
  readonly last: "end" | "error" | "cut";
}

/** Each attempt as it is written, whichever host it comes to; messages tell which attempt they are of. */
function perform(made: World, attempts: readonly Attempt[]): void {
  let begun = 0;
  for (const host of made.hosts) {
    host.speech = async function* (call) {
      const nth = begun++;
      const { messages, last } = attempts[nth] ?? { messages: words, last: "end" };
      for (let n = 0; n < messages; n++) {
        await host.work(call, 2);
        yield `${nth}.${n}`;
      }
      await host.work(call, 2);
      if (last === "error") throw new RpcError("unavailable", "not now");
      if (last === "cut") {
        for (const { client } of made.platform.network.connections) {
          if (client.remoteAddress === host.address) client.cut();
        }
        await host.work(call, 1_000);
      }
    };
  }
}

async function read(made: World, isRepeatable: boolean): Promise<{ heard: string[]; end: string }> {
  const heard: string[] = [];
  const reading = (async () => {
    for await (const { sentence } of made.client.introduce({}, { retry: isRepeatable })) heard.push(sentence);
  })();
  const end = reading.then(
    () => "end",
    (error: unknown) => (isRpcError(error) ? error.code : String(error)),
  );
  await made.platform.clock.advance(5_000);
  return { heard, end: await end };
}

const attempt: fc.Arbitrary<Attempt> = fc.record({
  messages: fc.oneof({ weight: 2, arbitrary: fc.constant(0) }, fc.nat(words)),
  last: fc.constantFrom("end", "error", "cut"),
});

test("whatever becomes of its attempts, a reader hears one attempt from its first message, or none", async t => {
  await fc.assert(
    fc.asyncProperty(fc.array(attempt, { maxLength: 3 }), fc.boolean(), async (attempts, isRepeatable) => {
      const made = await world(t, 2, { target: "static" });
      perform(made, attempts);
      const script = [...attempts, { messages: words, last: "end" } as const];
      const tries = isRepeatable ? 3 : 1;
      // The first attempt of which anything is heard, or that ends well, is the last one.
      let nth = script.findIndex(({ messages, last }) => messages > 0 || last === "end");
      nth = Math.min(nth === -1 ? script.length - 1 : nth, tries - 1);
      const { messages, last } = script[nth] as Attempt;
      const { heard, end } = await read(made, isRepeatable);
      assert.deepEqual(
        heard,
        Array.from({ length: messages }, (_, n) => `${nth}.${n}`),
      );
      assert.equal(end, last === "end" ? "end" : "unavailable");
      assert.equal(made.arrived(), nth + 1, "and is sent no more often");
      made.close();
    }),
    { numRuns: 100 },
  );
});

test("a tenth of all streams fails before anything of them is heard: none of them is lost, for a tenth more load", async t => {
  const made = await world(t, 3, { target: "static" });
  const { random } = made.platform;
  let broken = 0;
  for (const host of made.hosts) {
    host.speech = async function* (call) {
      await host.work(call, 2);
      const chance = random.next();
      if (chance < 0.1) throw new RpcError("unavailable", "not now");
      yield "first";
      await host.work(call, 20);
      if (chance < 0.15) {
        broken++;
        throw new RpcError("unavailable", "in the middle");
      }
      yield "last";
    };
  }
  const outcomes: Outcome[] = [];
  let lost = 0;
  const listen = async () => {
    const heard: string[] = [];
    try {
      for await (const { sentence } of made.client.introduce({}, { retry: true })) heard.push(sentence);
      assert.deepEqual(heard, ["first", "last"]);
    } catch (error) {
      assert.ok(heard.length <= 1);
      if (heard.length === 0) lost++;
      throw error;
    }
  };
  await made.offer(100, 20_000, outcomes, listen);
  await made.platform.clock.advance(5_000);
  // Three attempts: one in a thousand has no luck.
  assert.ok(lost / outcomes.length <= 0.003, `${lost} of ${outcomes.length} heard nothing`);
  const failed = outcomes.filter(({ code }) => code !== "ok").length;
  assert.equal(failed - lost, broken, "what broke in the middle was told to its reader, each time");
  const amplification = made.arrived() / outcomes.length;
  assert.ok(amplification > 1.05 && amplification <= 1.13, `${amplification}`);
  assert.ok(share(outcomes) > 0.93, told(outcomes));
});

test("a stream that lasted long does not make its host look slow", async t => {
  const made = await world(t, 2, { target: "static" });
  const [host] = made.hosts as [Host];
  for (const one of made.hosts) {
    one.speech = async function* (call) {
      yield "at once";
      if (one === host) await host.work(call, 60_000);
    };
  }
  const outcomes: Outcome[] = [];
  const streams: Promise<void>[] = [];
  for (let n = 0; n < 4; n++) {
    streams.push(
      (async () => {
        for await (const _ of made.client.introduce({}));
      })(),
    );
    await made.offer(100, 500, outcomes);
  }
  await made.platform.clock.advance(61_000);
  await Promise.all(streams);
  const fromMs = made.nowMs;
  await made.offer(100, 3_000, outcomes);
  const part = made.arrived(fromMs, made.nowMs, [host]) / made.arrived(fromMs);
  assert.ok(part > 0.35, `${part} of the calls go to the host whose streams have ended`);
});
