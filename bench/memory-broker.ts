// Events per second through the memory broker with JSON bodies, published and consumed in one process:
//   node --conditions=trunkline-source bench/memory-broker.ts [events] [rounds]
// Prints a line for each round and way of handling, and the median at the end. No peers: it is for looking at our own cost.
import { connectBroker, on } from "trunkline/events";
import { ledger } from "../src/events/conformance/ledger.ts";

const count = Number(process.argv[2] ?? 300_000);
const rounds = Number(process.argv[3] ?? 5);
const keys = 1_000;

const handlers = {
  "handler returns": () => {},
  "handler is async": async () => {},
  "handler waits a turn": () => new Promise<void>(resolve => setImmediate(resolve)),
} as const;

interface Rates {
  readonly both: number;
  readonly published: number;
  readonly consumed: number;
}

const perSecond = (events: number, startedMs: number) => Math.round((events / (performance.now() - startedMs)) * 1_000);

async function round(handle: () => unknown, order: "key" | "none"): Promise<Rates> {
  const broker = await connectBroker("memory:?bytesMax=4000000000");
  const { PlacedSchema } = ledger("bench");
  let left = count;
  let done = () => {};
  const subscribe = (group: string) => {
    left = count;
    const all = new Promise<void>(resolve => {
      done = resolve;
    });
    const handler = on(PlacedSchema, () => {
      const result = handle();
      if (--left === 0) done();
      return result;
    });
    return { all, subscribed: broker.subscribe({ group, order, concurrency: 256 }, handler) };
  };
  function* events() {
    for (let number = 0; number < count; number++) {
      yield { eventType: "LEDGER_PLACED", account: `account-${number % keys}`, number, note: "a note" };
    }
  }
  const together = subscribe("together");
  await together.subscribed;
  const startedMs = performance.now();
  await broker.publishAll(PlacedSchema, events());
  const published = perSecond(count, startedMs);
  await together.all;
  const both = perSecond(count, startedMs);
  const backlogMs = performance.now();
  const backlog = subscribe("backlog");
  await backlog.subscribed;
  await backlog.all;
  const consumed = perSecond(count, backlogMs);
  await broker.close();
  return { both, published, consumed };
}

const median = (values: readonly number[]) => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

for (const [name, handle] of Object.entries(handlers)) {
  for (const order of ["key", "none"] as const) {
    const rates: Rates[] = [];
    for (let index = 0; index < rounds; index++) rates.push(await round(handle, order));
    const of = (rate: keyof Rates) => median(rates.map(one => one[rate])).toLocaleString("en");
    process.stdout.write(
      `${name}, order ${order}: ${of("both")} events/s published and consumed together (publishing took ${of("published")}/s), ${of("consumed")}/s of a backlog consumed alone\n`,
    );
  }
}
