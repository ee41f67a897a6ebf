import assert from "node:assert/strict";
import { test } from "node:test";
import { virtualPlatform } from "../platform/virtual/index.ts";
import { ledger } from "./conformance/ledger.ts";
import { connectBroker } from "./connect.ts";
import { on } from "./handler.ts";

const handlerMs = 10;

/** How long handlers take for a backlog that was there before them, as a share of what their own time allows. */
async function idealShare(keys: number, concurrency: number, events: number): Promise<number> {
  const platform = virtualPlatform();
  const { clock } = platform;
  const { PlacedSchema } = ledger("orders");
  const broker = await connectBroker("memory:", { platform });
  const all = Array.from({ length: events }, (_, number) => ({ account: `account-${number % keys}`, number }));
  const published = broker.publishAll(PlacedSchema, all);
  await clock.settle();
  await published;
  let handled = 0;
  let endMs = 0;
  const startMs = clock.now();
  const handle = () =>
    new Promise<void>(resolve => {
      clock.after(handlerMs, () => {
        // The last ones are of fewer keys.
        if (++handled <= events * 0.9) endMs = clock.now();
        resolve();
      });
    });
  const subscribed = broker.subscribe({ group: "g", concurrency, from: "beginning" }, on(PlacedSchema, handle));
  await clock.settle();
  await subscribed;
  const idealMs = (events * 0.9 * handlerMs) / Math.min(keys, concurrency);
  for (let ms = 0; handled < events && ms < idealMs * 20; ms += handlerMs) await clock.advance(handlerMs);
  assert.equal(handled, events);
  const closing = broker.close();
  await clock.settle();
  await closing;
  return idealMs / (endMs - startMs);
}

test("handlers of different keys run beside each other within 10 % of the ideal, also with few keys and a deep backlog", async () => {
  for (const [keys, concurrency, events] of [
    [5, 64, 5_000],
    [16, 64, 8_000],
    [64, 256, 8_000],
    [500, 64, 4_000],
  ] as const) {
    const share = await idealShare(keys, concurrency, events);
    assert.ok(share > 0.9, `${keys} keys, ${concurrency} at once, ${events} events: ${share}`);
  }
});
