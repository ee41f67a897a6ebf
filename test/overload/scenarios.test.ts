/**
 * Whole situations on the virtual clock, over real bytes of gRPC: each asserts what callers get while there is too much to
 * do, and how soon all is well again.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type Call,
  createChannel,
  createClient,
  createServer,
  type ErrorCode,
  type Handlers,
  implement,
  isRpcError,
  type Priority,
  type ServerOptions,
} from "trunkline";
import { memoryPlatform, type VirtualPlatform, virtualPlatform } from "trunkline/testing";
import { Things } from "../gen/transcoding/v1/transcoding_pb.ts";

type Get = NonNullable<Handlers<typeof Things>["getThing"]>;

interface Outcome {
  readonly priority: Priority;
  readonly atMs: number;
  readonly result: "ok" | ErrorCode;
}

async function world(platform: VirtualPlatform, getThing: Get, options: Partial<ServerOptions> = {}) {
  const server = createServer({
    services: [implement(Things, { getThing })],
    limits: { handlersPerConnectionMax: 100_000 },
    openapi: false,
    platform,
    ...options,
  });
  await server.listen({ host: "10.0.0.1", port: 80 });
  const channel = createChannel("10.0.0.1:80", { platform });
  // What the server does is in question: the client's own guards would hold the load back before it comes.
  const things = createClient(Things, channel, { policy: false });
  const call = async (priority: Priority = "default", timeoutMs = 2_000): Promise<Outcome> => {
    const atMs = platform.clock.now();
    const metadata = { "x-trunkline-priority": priority };
    try {
      await things.getThing({ thingId: "a" }, { timeoutMs, metadata });
      return { priority, atMs, result: "ok" };
    } catch (error) {
      assert(isRpcError(error));
      return { priority, atMs, result: error.code };
    }
  };
  /** Calls at an even rate for a time: of ten, one critical and three sheddable. */
  const offer = async (perSecond: number, seconds: number, outcomes: Outcome[]) => {
    for (let n = 0; n < perSecond * seconds; n++) {
      const priority = n % 10 === 0 ? "critical" : n % 10 < 4 ? "sheddable" : "default";
      void call(priority).then(outcome => outcomes.push(outcome));
      await platform.clock.advance(1_000 / perSecond);
    }
  };
  const close = async () => {
    channel.close();
    await server.close();
    await platform.clock.advance(1);
  };
  return { call, offer, close };
}

/** So many workers, each busy for `serviceMs`, and an endless queue before them that knows nothing of deadlines. */
class Backend {
  readonly #platform: VirtualPlatform;
  readonly #serviceMs: number;
  readonly #queue: (() => void)[] = [];
  #free: number;

  constructor(platform: VirtualPlatform, workers: number, serviceMs: number) {
    this.#platform = platform;
    this.#free = workers;
    this.#serviceMs = serviceMs;
  }

  async use(): Promise<void> {
    if (this.#free > 0) this.#free--;
    else await new Promise<void>(resolve => this.#queue.push(resolve));
    await new Promise<void>(resolve => this.#platform.clock.after(this.#serviceMs, resolve));
    const next = this.#queue.shift();
    if (next === undefined) this.#free++;
    else next();
  }
}

const share = (outcomes: readonly Outcome[]) =>
  outcomes.filter(({ result }) => result === "ok").length / Math.max(1, outcomes.length);
const of = (outcomes: readonly Outcome[], wanted: Priority) => outcomes.filter(({ priority }) => priority === wanted);

test("five times the load of a slow backend: the server goes on at its capacity, critical calls first, and recovers", async () => {
  const platform = virtualPlatform({ seed: 31 });
  // Ten workers at 50 ms answer 200 calls a second.
  const backend = new Backend(platform, 10, 50);
  const { offer, close } = await world(platform, async ({ thingId }) => {
    await backend.use();
    return { thingId };
  });
  const outcomes: Outcome[] = [];
  await offer(100, 5, outcomes);
  await offer(1_000, 15, outcomes);
  await platform.clock.advance(5_000);
  const calm = outcomes.filter(({ atMs }) => atMs < 5_000);
  assert.equal(share(calm), 1);
  const overload = outcomes.filter(({ atMs }) => atMs >= 5_000);
  const goodPerSecond = (share(overload) * overload.length) / 15;
  assert(goodPerSecond >= 0.8 * 200, `${goodPerSecond} good answers a second of 200 that are possible`);
  const settled = overload.filter(({ atMs }) => atMs >= 10_000);
  const shares = (["critical", "default", "sheddable"] as const).map(priority => share(of(settled, priority)));
  const [critical = 0, ordinary = 0, sheddable = 0] = shares;
  assert(critical >= 0.99, `${shares}`);
  assert(ordinary > 0.1 && sheddable < 0.01, `${shares}`);
  const after: Outcome[] = [];
  await offer(100, 5, after);
  await platform.clock.advance(5_000);
  assert.equal(share(after), 1);
  await close();
});

test("five times what the process can compute: the late event loop turns work away until it keeps up", async () => {
  const platform = virtualPlatform({ seed: 32 });
  // Each call computes for 5 ms: 200 a second.
  let served = 0;
  const { call, close } = await world(platform, ({ thingId }) => {
    platform.clock.stall(5);
    served++;
    return { thingId };
  });
  const outcomes: Outcome[] = [];
  /** What came while the process computed is there in its next turn. */
  const turns = async (perSecond: number, seconds: number) => {
    const endMs = platform.clock.now() + seconds * 1_000;
    let sinceMs = platform.clock.now();
    let due = 0;
    let n = 0;
    while (platform.clock.now() < endMs) {
      await platform.clock.advance(5);
      const nowMs = platform.clock.now();
      due += ((nowMs - sinceMs) * perSecond) / 1_000;
      sinceMs = nowMs;
      for (; due >= 1; due--, n++) {
        const priority = n % 10 === 0 ? "critical" : n % 10 < 4 ? "sheddable" : "default";
        void call(priority).then(outcome => outcomes.push(outcome));
      }
    }
  };
  await turns(100, 3);
  await platform.clock.advance(1_000);
  assert.equal(share(outcomes.splice(0)), 1);
  await turns(1_000, 20);
  await platform.clock.advance(5_000);
  const settledFromMs = platform.clock.now() - 5_000 - 10_000;
  const settled = outcomes.splice(0).filter(({ atMs }) => atMs >= settledFromMs);
  const shares = (["critical", "default", "sheddable"] as const).map(priority => share(of(settled, priority)));
  const [critical = 0, , sheddable = 0] = shares;
  const goodPerSecond = (share(settled) * settled.length) / 10;
  assert(goodPerSecond >= 0.8 * 200, `${goodPerSecond} a second, ${shares}`);
  assert(critical >= 0.99 && sheddable < 0.05, `${shares}`);
  await turns(100, 3);
  await platform.clock.advance(3_000);
  assert.equal(share(outcomes.splice(0)), 1);
  assert(served > 0);
  await close();
});

test("a garbage collection of a second turns nobody away", async () => {
  const platform = virtualPlatform({ seed: 33 });
  const { offer, close } = await world(platform, async ({ thingId }) => {
    await new Promise<void>(resolve => platform.clock.after(10, resolve));
    return { thingId };
  });
  const outcomes: Outcome[] = [];
  for (let n = 0; n < 5; n++) {
    await offer(200, 1, outcomes);
    platform.clock.stall(1_000);
  }
  await platform.clock.advance(3_000);
  assert.equal(outcomes.length, 1_000);
  assert.equal(share(outcomes), 1);
  await close();
});

test("a queue of a method's own is refused what is late when its turn comes, and the handler never sees it", async () => {
  const platform = virtualPlatform({ seed: 34 });
  let runs = 0;
  const { call, close } = await world(
    platform,
    async ({ thingId }) => {
      runs++;
      await new Promise<void>(resolve => platform.clock.after(100, resolve));
      return { thingId };
    },
    { methodLimits: { "/transcoding.v1.Things/GetThing": { concurrent: 1, queue: 2, maxWaitMs: 1_000 } } },
  );
  const results = Promise.all([call("default"), call("default", 150), call("default", 50), call("default")]);
  await platform.clock.advance(1_000);
  assert.deepEqual(
    (await results).map(({ result }) => result),
    ["ok", "deadline_exceeded", "deadline_exceeded", "resource_exhausted"],
  );
  // The second began in time and was late; the third was not begun.
  assert.equal(runs, 2);
  const again = call();
  await platform.clock.advance(200);
  assert.equal((await again).result, "ok");
  await close();
});

test("a handler that never ends loses its place a minute after its call, and that is told", async () => {
  const platform = virtualPlatform({ seed: 35 });
  let isHung = true;
  const events: string[] = [];
  const { call, close } = await world(
    platform,
    ({ thingId }) => (isHung ? new Promise<never>(() => {}) : { thingId }),
    { overload: { concurrency: { max: 1 } }, observer: { emit: ({ type }) => events.push(type) } },
  );
  const hung = call();
  await platform.clock.advance(3_000);
  assert.equal((await hung).result, "deadline_exceeded");
  isHung = false;
  const refused = call();
  await platform.clock.advance(100);
  assert.equal((await refused).result, "resource_exhausted");
  assert.equal(events.filter(type => type === "rpc.call.refused").length, 1);
  await platform.clock.advance(60_000);
  const served = call();
  await platform.clock.advance(100);
  assert.equal((await served).result, "ok");
  assert.equal(events.filter(type => type === "rpc.handler.abandoned").length, 1);
  await close();
});

test("work that became late in an interceptor does not reach the handler", async () => {
  const platform = virtualPlatform({ seed: 36 });
  let runs = 0;
  const slow = async (_call: Call, next: () => Promise<unknown>) => {
    platform.clock.stall(300);
    return next();
  };
  const { call, close } = await world(
    platform,
    ({ thingId }) => {
      runs++;
      return { thingId };
    },
    { interceptors: [slow] },
  );
  const late = call("default", 200);
  await platform.clock.advance(1_000);
  assert.equal((await late).result, "deadline_exceeded");
  assert.equal(runs, 0);
  await close();
});

test("64 calls in flight at full speed on the machine's own clock are not limited, of any priority", async () => {
  const platform = memoryPlatform();
  const refused: string[] = [];
  await using server = createServer({
    services: [
      implement(Things, {
        async getThing({ thingId }) {
          await null;
          return { thingId };
        },
      }),
    ],
    observer: { emit: ({ type }) => type === "rpc.call.refused" && refused.push(type) },
    platform,
  });
  const { port } = await server.listen({ host: "127.0.0.1", port: 8080 });
  const channel = createChannel(`127.0.0.1:${port}`, { platform });
  const things = createClient(Things, channel, { policy: false });
  for (const priority of ["critical", "default", "sheddable"] as const) {
    let left = 3_000;
    const lane = async () => {
      const options = { metadata: { "x-trunkline-priority": priority } };
      while (left-- > 0) await things.getThing({ thingId: "a" }, options);
    };
    await Promise.all(Array.from({ length: 64 }, lane));
  }
  assert.deepEqual(refused, []);
  channel.close();
});
