/**
 * Callers that go away, at every moment of a call: each situation runs once undisturbed and is then run again for every
 * microtask, turn of the loop and millisecond that it took, and given up there. Afterwards nothing may be left of the call.
 */
import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import {
  type CallOptions,
  type ChannelOptions,
  type ClientPolicy,
  isRpcError,
  RpcError,
} from "../../src/exports/index.ts";
import { type Bulkhead, bulkhead } from "../../src/exports/resilience.ts";
import type { Host } from "./host.ts";
import { type World, world } from "./world.ts";

const latencyMs = 1;
/** Moments of one millisecond: what its timers do, two turns of the loop, and three microtasks after each of these. */
const ticksPerMs = 12;
/** No situation takes longer. */
const ticksMax = 60 * ticksPerMs;

interface Situation {
  readonly target?: "static" | "dns";
  readonly hosts?: number;
  readonly channel?: ChannelOptions;
  readonly policy?: ClientPolicy;
  /** What goes before, on the clock. */
  readonly prepare?: (world: World) => Promise<void>;
  /** The call that is given up. */
  readonly call: (world: World, options: CallOptions) => Promise<unknown>;
  /** Whatever else holds something that must be free in the end. */
  readonly isFree?: (world: World) => void;
}

/** What hosts do with a sentence: `fails twice`, `slow`, otherwise answer at once after their service time. */
function answers(host: Host): void {
  let failed = 0;
  host.answer = async (call, sentence) => {
    if (sentence === "fails twice" && failed++ < 2) throw new RpcError("unavailable", "not now");
    if (sentence === "down") throw new RpcError("unavailable", "down");
    await host.work(call, sentence === "slow" ? 12 : 2);
    return "well";
  };
  host.speech = async function* (call, name) {
    for (const word of name.split(" ")) {
      await host.work(call, 2);
      yield word;
    }
  };
}

/** The smallest step forward: a microtask, a turn of the loop, or a millisecond. */
async function tick(made: World, n: number): Promise<void> {
  if (n % ticksPerMs === 0) made.platform.clock.advanceSync(1);
  else if (n % 4 === 0) await new Promise<void>(resolve => setImmediate(resolve));
  await null;
}

interface Run {
  /** How the call ended, or `pending`. */
  readonly code: () => string;
  readonly made: World;
}

async function begin(t: TestContext, situation: Situation, signal: AbortSignal): Promise<Run> {
  const made = await world(t, situation.hosts ?? 2, {
    target: situation.target ?? "static",
    latencyMs,
    channel: situation.channel ?? {},
    policy: situation.policy ?? {},
  });
  for (const host of made.hosts) answers(host);
  await situation.prepare?.(made);
  let code = "pending";
  void made
    .outcome(() => situation.call(made, { signal, timeoutMs: 10_000 }))
    .then(
      outcome => (code = outcome.code),
      // A policy rejects with the signal's own reason.
      error => (code = error === signal.reason ? "cancelled" : String(error)),
    );
  return { made, code: () => code };
}

/** Nothing is left of calls at the client: not in the balance, not in pools, not on connections. */
function clientHoldsNothing(made: World, when: string): void {
  for (const { activeCalls, address } of made.channel.endpoints()) {
    assert.equal(activeCalls, 0, `${when}: ${address} has active calls`);
  }
  for (const endpoint of endpointsOf(made)) {
    assert.equal(endpoint.balanced?.load.pending, 0, `${when}: ${endpoint.key} has pending calls`);
    assert.equal(endpoint.pool.waiting, 0, `${when}: somebody waits for a connection to ${endpoint.key}`);
  }
}

function nothingIsHeld(made: World, when: string): void {
  for (const host of made.hosts) assert.equal(host.running, 0, `${when}: a handler runs`);
  clientHoldsNothing(made, when);
}

function endpointsOf(made: World) {
  const found = new Set<NonNullable<ReturnType<World["channel"]["pick"]>>>();
  for (let n = 0; n < 100 && found.size < made.channel.size; n++) {
    const endpoint = made.channel.pick({ failedEndpoint: [...found].at(-1) });
    if (endpoint !== undefined) found.add(endpoint);
  }
  assert.equal(found.size, made.channel.size, "not every endpoint was seen");
  return found;
}

async function everyMoment(t: TestContext, situation: Situation): Promise<void> {
  const undisturbed = await begin(t, situation, new AbortController().signal);
  let ticks = 1;
  while (undisturbed.code() === "pending") {
    assert.ok(ticks < ticksMax, "the call does not end");
    await tick(undisturbed.made, ticks++);
  }
  assert.equal(undisturbed.code(), "ok");
  await undisturbed.made.platform.clock.advance(50);
  nothingIsHeld(undisturbed.made, "undisturbed");
  situation.isFree?.(undisturbed.made);
  const idleTimers = undisturbed.made.platform.clock.pendingTimers;
  undisturbed.made.close();
  let cancelled = 0;
  for (let moment = 0; moment <= ticks; moment++) {
    const controller = new AbortController();
    const { made, code } = await begin(t, situation, controller.signal);
    const { clock } = made.platform;
    for (let n = 1; n <= moment; n++) await tick(made, n);
    const before = code();
    const when = `given up at moment ${moment} of ${ticks}`;
    const abortedAtMs = made.nowMs;
    controller.abort(new Error("no longer wanted"));
    await new Promise<void>(resolve => setImmediate(resolve));
    if (before === "ok") assert.equal(code(), "ok", when);
    else if (code() !== "ok") {
      // A response that has been read may win for as long as its promise is on its way.
      assert.equal(code(), "cancelled", when);
      cancelled++;
    }
    clientHoldsNothing(made, when);
    situation.isFree?.(made);
    await clock.advance(latencyMs);
    nothingIsHeld(made, when);
    situation.isFree?.(made);
    await clock.advance(49);
    const late = made.arrived(abortedAtMs + latencyMs + 1e-9);
    assert.equal(late, 0, `${when}: ${late} requests were sent after it`);
    const timers = clock.pendingTimers;
    assert.ok(
      timers <= idleTimers,
      `${when}: ${timers} timers are armed; an idle client and its servers have ${idleTimers}`,
    );
    const next = made.outcome(() => made.client.say({ sentence: "next" }));
    await clock.advance(20);
    assert.equal((await next).code, "ok", `${when}: the next call`);
    nothingIsHeld(made, `${when}, next call`);
    made.close();
  }
  assert.ok(cancelled > 10, `${cancelled} moments of ${ticks} were within the call`);
  t.diagnostic(`${ticks} moments, ${cancelled} within the call`);
}

const connected = async (made: World) => {
  for (const _ of made.hosts) {
    const warm = Promise.all(Array.from({ length: 8 }, () => made.client.say({})));
    await made.platform.clock.advance(30);
    await warm;
  }
};
const exactly = { attempts: 3, delayMs: 3, factor: 1, jitter: "none" } as const;

async function read(stream: AsyncIterable<unknown>): Promise<number> {
  let count = 0;
  for await (const _ of stream) count++;
  return count;
}

const situations: Readonly<Record<string, Situation>> = {
  "a call that needs a connection first": { call: ({ client }, options) => client.say({}, options) },
  "a call on a connection": { prepare: connected, call: ({ client }, options) => client.say({}, options) },
  "a call on a connection, in Connect over HTTP/1.1": {
    channel: { protocol: "connect", httpVersion: "1.1" },
    prepare: connected,
    call: ({ client }, options) => client.say({}, options),
  },
  "a call that waits for its target to be resolved": {
    target: "dns",
    prepare: async ({ platform }) => {
      platform.network.dnsServer.delayMs = 3;
    },
    call: ({ client }, options) => client.say({}, options),
  },
  "a call that is repeated": {
    hosts: 1,
    policy: { retry: exactly },
    call: ({ client }, options) => client.say({ sentence: "fails twice" }, options),
  },
  "a call whose attempts have a time limit": {
    policy: { retry: exactly, attemptTimeoutMs: 10 },
    prepare: async made => {
      await connected(made);
      let slow = 0;
      for (const host of made.hosts) {
        host.answer = async call => {
          await host.work(call, slow++ === 0 ? 1_000 : 2);
          return "well";
        };
      }
    },
    call: ({ client }, options) => client.say({}, options),
  },
  "a call that is hedged": {
    policy: { hedge: { delayMs: 3 } },
    prepare: connected,
    call: ({ client }, options) => client.say({ sentence: "slow" }, options),
  },
  "a call whose hedge needs a connection first": {
    policy: { hedge: { delayMs: 3 } },
    call: ({ client }, options) => client.say({ sentence: "slow" }, options),
  },
  "a stream of responses": {
    call: ({ client }, options) => read(client.introduce({ name: "one two three" }, options)),
  },
  "a stream of responses, in gRPC-Web over HTTP/1.1": {
    channel: { protocol: "grpc-web", httpVersion: "1.1" },
    prepare: connected,
    call: ({ client }, options) => read(client.introduce({ name: "one two three" }, options)),
  },
  "a call that shows whether an open breaker may close": {
    policy: { retry: false, breaker: { failures: 1, openMs: 10 } },
    prepare: async made => {
      await connected(made);
      const opening = made.outcome(() => made.client.say({ sentence: "down" }));
      await made.platform.clock.advance(30);
      assert.equal((await opening).code, "unavailable");
    },
    call: ({ client }, options) => client.say({}, options),
  },
  "a stream of requests": {
    prepare: connected,
    call: ({ client, platform }, options) => client.summarize(spoken(platform.clock), options),
  },
};

/** Three requests, 2 ms apart. */
async function* spoken(clock: World["platform"]["clock"]) {
  for (let n = 0; n < 3; n++) {
    await new Promise<void>(resolve => clock.after(2, resolve));
    yield { sentence: "one" };
  }
}

for (const [name, situation] of Object.entries(situations)) {
  test(`${name}, given up at every moment`, t => everyMoment(t, situation));
}

test("a call that waits for a place in a bulkhead, given up at every moment", async t => {
  const places = new WeakMap<World, Bulkhead>();
  await everyMoment(t, {
    prepare: async made => {
      await connected(made);
      const guard = bulkhead({ concurrent: 1, queue: 1, platform: made.platform });
      places.set(made, guard);
      // Somebody holds the only place for a while.
      const held = guard.acquire();
      made.at(6, () => held.rejected || held.ignore());
    },
    call: (made, options) => {
      const guard = places.get(made) as Bulkhead;
      return guard.run(signal => made.client.say({}, { ...options, signal }), { signal: options.signal });
    },
    isFree: made => {
      assert.equal(places.get(made)?.waiting, 0);
      if (made.nowMs > 130) assert.equal(places.get(made)?.running, 0);
    },
  });
});

test("a reader that comes back after the call was given up gets the error, not what had come meanwhile", async t => {
  for (const isEarly of [true, false]) {
    const made = await world(t, 1, { target: "static", latencyMs });
    for (const host of made.hosts) answers(host);
    const controller = new AbortController();
    const words = made.client.introduce({ name: "one two three four" }, { signal: controller.signal });
    const reader = words[Symbol.asyncIterator]();
    const first = reader.next();
    await made.platform.clock.advance(isEarly ? 8 : 50);
    assert.equal((await first).done, false);
    controller.abort();
    const second = await reader.next().catch(error => error);
    assert.ok(isRpcError(second, "cancelled"), String(second));
    made.close();
  }
});
