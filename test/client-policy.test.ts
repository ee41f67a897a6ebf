import assert from "node:assert/strict";
import { type TestContext, test } from "node:test";
import type { Call, ChannelOptions, ClientPolicy, ObservedEvent } from "../src/exports/index.ts";
import {
  createChannel,
  createClient,
  createServer,
  type ErrorCode,
  implement,
  isRpcError,
  RpcError,
} from "../src/exports/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../src/platform/virtual/index.ts";
import { ElizaService } from "./gen/eliza/v1/eliza_pb.ts";

// Say may be repeated by its contract, Forget and Introduce may not.

type Answer = (call: Call, times: number, platform: VirtualPlatform) => string | Promise<string>;

/** Servers at 10.0.0.1:80 and so on, each with a number of its own and what it answers, and a channel to all of them. */
async function world(t: TestContext, answers: readonly Answer[], options: ChannelOptions = {}, seed = 1) {
  const platform = virtualPlatform({ seed });
  const servers = await Promise.all(
    answers.map(async (answer, index) => {
      const attempts: string[] = [];
      const served = async (call: Call) => {
        attempts.push(String(call.metadata.get("grpc-previous-rpc-attempts") ?? 0));
        return { sentence: await answer(call, attempts.length, platform) };
      };
      const server = createServer({
        platform,
        services: [
          implement(ElizaService, {
            say: (_, call) => served(call),
            forget: (_, call) => served(call),
            async *introduce(_, call) {
              yield await served(call);
            },
          }),
        ],
      });
      await server.listen({ host: `10.0.0.${index + 1}`, port: 80 });
      return { server, attempts };
    }),
  );
  const target = `static:///${answers.map((_, index) => `10.0.0.${index + 1}:80`).join(",")}`;
  const events: ObservedEvent[] = [];
  const channel = createChannel(target, { platform, observer: { emit: event => events.push(event) }, ...options });
  t.after(() => channel.close());
  const client = (policy?: ClientPolicy | false) => createClient(ElizaService, channel, { policy });
  /** What became of a call, on the clock. */
  const outcome = async (promise: Promise<{ sentence: string }>, ms = 5_000): Promise<string> => {
    const settled = promise.then(
      ({ sentence }) => sentence,
      (error: unknown) => (isRpcError(error) ? error.code : String(error)),
    );
    await platform.clock.advance(ms);
    return Promise.race([settled, Promise.resolve("pending")]);
  };
  const attempts = () => servers.map(server => server.attempts);
  const told = (type: string) => events.filter(event => event.type === type) as (ObservedEvent & { reason?: string })[];
  return { platform, servers, channel, client, outcome, attempts, told };
}

const never = () => new Promise<string>(() => {});

const failing =
  (code: ErrorCode, times: number, retryAfterMs?: number): Answer =>
  (_, nth) => {
    if (nth <= times) throw new RpcError(code, "not now", { retryAfterMs });
    return `answer ${nth}`;
  };

for (const protocol of ["grpc", "grpc-web", "connect"] as const) {
  test(`${protocol}: a method that may be repeated survives two failures, and servers see how often it was sent`, async t => {
    const { client, outcome, attempts } = await world(t, [failing("unavailable", 2)], { protocol });
    assert.equal(await outcome(client().say({})), "answer 3");
    assert.deepEqual(attempts(), [["0", "1", "2"]]);
  });

  test(`${protocol}: a pushback that says never is the end`, async t => {
    const { client, outcome, attempts, told } = await world(t, [failing("unavailable", 2, -1)], { protocol });
    assert.equal(await outcome(client().say({})), "unavailable");
    assert.deepEqual(attempts(), [["0"]]);
    assert.deepEqual(
      told("resilience.retry.refused").map(event => event.reason),
      ["pushback"],
    );
  });
}

test("three attempts are the most, by default", async t => {
  const { client, outcome, attempts } = await world(t, [failing("unavailable", 9)]);
  assert.equal(await outcome(client().say({})), "unavailable");
  assert.equal(attempts()[0]?.length, 3);
});

test("what the contract does not call idempotent is not repeated, nor an answer of the application", async t => {
  const { client, outcome, attempts } = await world(t, [failing("unavailable", 9)]);
  assert.equal(await outcome(client().forget({})), "unavailable");
  assert.equal(attempts()[0]?.length, 1);
  const other = await world(t, [failing("not_found", 9)]);
  assert.equal(await other.outcome(other.client().say({})), "not_found");
  assert.equal(other.attempts()[0]?.length, 1);
});

test("a call may say for itself whether it is repeated", async t => {
  const { client, outcome, attempts } = await world(t, [failing("unavailable", 2)]);
  assert.equal(await outcome(client().say({}, { retry: false })), "unavailable");
  assert.equal(await outcome(client().forget({}, { retry: true })), "answer 3");
  assert.deepEqual(attempts(), [["0", "0", "1"]]);
});

test("a client may repeat other codes, more often, or nothing", async t => {
  const { client, outcome, attempts } = await world(t, [failing("aborted", 4)]);
  assert.equal(await outcome(client({ retry: { attempts: 5, codes: ["aborted"] } }).say({})), "answer 5");
  assert.equal(attempts()[0]?.length, 5);
  const other = await world(t, [failing("unavailable", 9)]);
  assert.equal(await other.outcome(other.client(false).say({})), "unavailable");
  assert.equal(await other.outcome(other.client({ retry: false }).say({})), "unavailable");
  assert.equal(other.attempts()[0]?.length, 2);
});

test("a pushback replaces the delay; overload without one is not repeated", async t => {
  const { client, outcome, attempts } = await world(t, [failing("resource_exhausted", 1, 3_000)]);
  const call = client().say({});
  assert.equal(await outcome(call, 2_900), "pending");
  assert.equal(await outcome(call, 200), "answer 2");
  assert.equal(attempts()[0]?.length, 2);
  const other = await world(t, [failing("resource_exhausted", 1)]);
  assert.equal(await other.outcome(other.client().say({})), "resource_exhausted");
});

test("a delay that does not fit before the deadline is not waited: the call fails at once with its own error", async t => {
  const { client, outcome, told } = await world(t, [failing("unavailable", 1, 3_000)]);
  assert.equal(await outcome(client().say({}, { timeoutMs: 3_000 }), 10), "unavailable");
  assert.deepEqual(
    told("resilience.retry.refused").map(event => event.reason),
    ["deadline"],
  );
});

test("the budget is the channel's: when it is empty, calls fail with the first error", async t => {
  const { client, outcome, attempts, told } = await world(t, [failing("unavailable", 1_000)]);
  const policy = { budget: { ratio: 0, reservePerSecond: 0.5 }, throttle: false, retry: { attempts: 2 } } as const;
  const guarded = client(policy);
  for (let count = 0; count < 20; count++) await outcome(guarded.say({}), 100);
  assert.equal(attempts()[0]?.length, 25, "5 repeated in the window of 10 s");
  assert.equal(told("resilience.retry.refused").filter(event => event.reason === "budget").length, 15);
});

test("a call made while serving one that was repeated is not repeated in turn, and says never to its caller", async t => {
  const platform = virtualPlatform();
  let below = 0;
  const backend = createServer({
    platform,
    services: [
      implement(ElizaService, {
        say() {
          below++;
          throw new RpcError("unavailable", "down");
        },
      }),
    ],
  });
  await backend.listen({ host: "10.0.0.9", port: 80 });
  const inner = createClient(ElizaService, "10.0.0.9:80", { platform });
  const middle = createServer({ platform, services: [implement(ElizaService, { say: () => inner.say({}) })] });
  await middle.listen({ host: "10.0.0.8", port: 80 });
  const channel = createChannel("10.0.0.8:80", { platform });
  t.after(() => channel.close());
  const first = assert.rejects(
    createClient(ElizaService, channel).say({}),
    error => isRpcError(error, "unavailable") && error.retryAfterMs === -1,
  );
  await platform.clock.advance(5_000);
  await first;
  assert.equal(below, 3, "the layer next to the fault repeats, the one above does not");
  const metadata = { "x-any": "1" };
  const repeated = createClient(ElizaService, channel, {
    interceptors: [
      (call, next) => {
        call.metadata.append("grpc-previous-rpc-attempts", "1");
        return next();
      },
    ],
  }).say({}, { metadata });
  const second = repeated.catch(() => undefined);
  await platform.clock.advance(5_000);
  await second;
  assert.equal(below, 4);
});

test("another attempt goes to another endpoint", async t => {
  for (let seed = 0; seed < 8; seed++) {
    const { client, outcome, attempts } = await world(t, [failing("unavailable", 99), () => "well"], {}, seed);
    assert.equal(await outcome(client().say({})), "well");
    assert.ok((attempts()[0]?.length ?? 0) <= 1);
  }
});

test("an endpoint that takes calls and never answers is given up after the attempt's time, avoided, and left out", async t => {
  const { client, outcome, channel, attempts } = await world(t, [never, () => "b", () => "c"]);
  const impatient = client({ attemptTimeoutMs: 200 });
  for (let count = 0; count < 60; count++) assert.match(await outcome(impatient.say({}), 600), /^[bc]$/);
  const tried = attempts()[0]?.length ?? 0;
  assert.ok(tried <= 60, `${tried} of 60 calls in 36 s tried the black hole`);
  assert.ok(["penalised", "ejected"].includes(channel.endpoints()[0]?.state ?? ""));
});

const after =
  (ms: number, text: string): Answer =>
  (_, _nth, { clock }) =>
    new Promise(resolve => clock.after(ms, () => resolve(text)));

test("a slow endpoint gets few calls", async t => {
  const { client, attempts, outcome } = await world(t, [after(300, "slow"), () => "fast", () => "fast"]);
  const one = client();
  for (let count = 0; count < 200; count++) await outcome(one.say({}), 20);
  const slow = attempts()[0]?.length ?? 0;
  assert.ok(slow < 20, `${slow} of 200`);
});

test("one of three endpoints dies under load: no call that may be repeated fails", async t => {
  const well = after(5, "well");
  const { client, platform, servers } = await world(t, [well, well, well]);
  const one = client();
  const calls: Promise<string>[] = [];
  for (let tick = 0; tick < 300; tick++) {
    for (let count = 0; count < 3; count++) {
      calls.push(
        one.say({}).then(
          ({ sentence }) => sentence,
          (error: unknown) => String(error),
        ),
      );
    }
    if (tick === 100) {
      for (const { client: end } of platform.network.connections) if (end.remoteAddress === "10.0.0.1") end.cut();
      void servers[0]?.server.close();
    }
    await platform.clock.advance(2);
  }
  await platform.clock.advance(2_000);
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(["well"]));
});

test("a rolling deploy, every server replaced by another under load: no call fails, idempotent or not", async t => {
  const platform = virtualPlatform();
  const { dnsServer } = platform.network;
  const start = async (id: number) => {
    const say = async () => {
      await new Promise<void>(resolve => platform.clock.after(5, resolve));
      return { sentence: "well" };
    };
    const services = [implement(ElizaService, { say, forget: say })];
    const server = createServer({ platform, services });
    await server.listen({ host: `10.0.1.${id}`, port: 80 });
    return server;
  };
  const running = new Map([1, 2, 3].map(id => [id, start(id)]));
  const publish = () =>
    dnsServer.set(
      "eliza",
      Array.from(running.keys(), id => `10.0.1.${id}`),
      1,
    );
  publish();
  const channel = createChannel("eliza:80", { platform });
  t.after(() => channel.close());
  const client = createClient(ElizaService, channel);
  const calls: Promise<string>[] = [];
  const load = async (ms: number) => {
    for (let tick = 0; tick < ms / 10; tick++) {
      for (const call of [client.say({}), client.forget({})]) {
        calls.push(
          call.then(
            ({ sentence }) => sentence,
            (error: unknown) => String(error),
          ),
        );
      }
      await platform.clock.advance(10);
    }
  };
  await load(500);
  for (const id of [1, 2, 3]) {
    const old = await running.get(id);
    running.delete(id);
    running.set(id + 3, start(id + 3));
    publish();
    await load(2_500);
    void old?.close();
    await load(500);
  }
  await platform.clock.advance(3_000);
  assert.deepEqual(new Set(await Promise.all(calls)), new Set(["well"]));
  assert.deepEqual(
    channel
      .endpoints()
      .map(({ address }) => address)
      .sort(),
    ["10.0.1.4", "10.0.1.5", "10.0.1.6"],
  );
});

test("a caller that goes away while the next attempt waits leaves nothing behind", async t => {
  const { client, outcome, attempts, channel } = await world(t, [failing("unavailable", 9, 1_000)]);
  const controller = new AbortController();
  const call = client().say({}, { signal: controller.signal });
  const settled = outcome(call, 500);
  assert.equal(await settled, "pending");
  controller.abort();
  assert.equal(await outcome(call, 5_000), "cancelled");
  assert.equal(attempts()[0]?.length, 1);
  assert.equal(channel.endpoints()[0]?.activeCalls, 0);
  assert.equal(channel.pick()?.balanced?.load.pending, 0);
});

test("a deadline that passes in a later attempt names the error of the one before", async t => {
  const answer: Answer = (call, nth, platform) =>
    nth === 1 ? failing("unavailable", 9, 900)(call, nth, platform) : never();
  const { client, platform } = await world(t, [answer]);
  const call = assert.rejects(
    client().say({}, { timeoutMs: 2_000 }),
    error => isRpcError(error, "deadline_exceeded") && isRpcError(error.cause, "unavailable"),
  );
  await platform.clock.advance(5_000);
  await call;
});

test("a target that does not answer at all is left alone after twenty calls, and found again", async t => {
  let isDead = true;
  const { client, outcome } = await world(t, [() => (isDead ? never() : "well"), () => (isDead ? never() : "well")]);
  const one = client({ retry: false, throttle: false });
  const outcomes: string[] = [];
  for (let count = 0; count < 25; count++) outcomes.push(await outcome(one.say({}, { timeoutMs: 100 }), 110));
  assert.deepEqual(
    outcomes.slice(0, 20),
    Array.from({ length: 20 }, () => "deadline_exceeded"),
  );
  assert.equal(outcomes.at(-1), "unavailable", "not even sent");
  isDead = false;
  await outcome(one.say({}), 40_000);
  assert.equal(await outcome(one.say({})), "well");
});

test("errors of the application never open the target's breaker", async t => {
  const { client, outcome, attempts } = await world(t, [failing("internal", 1_000)]);
  const one = client();
  for (let count = 0; count < 60; count++) assert.equal(await outcome(one.say({}), 10), "internal");
  assert.equal(attempts()[0]?.length, 60);
});

test("a target that rejects most of what it gets is throttled", async t => {
  const { client, outcome, attempts } = await world(t, [failing("resource_exhausted", 1_000, 100)]);
  const one = client({ retry: false });
  for (let count = 0; count < 200; count++) await outcome(one.say({}), 10);
  assert.ok((attempts()[0]?.length ?? 0) < 80, `${attempts()[0]?.length} of 200 were sent`);
});

test("a hedge of a slow call answers for it, and the attempt that lost is cancelled", async t => {
  const cancelled: string[] = [];
  const slow: Answer = call => {
    call.signal.addEventListener("abort", () => cancelled.push(call.method.name));
    return never();
  };
  const { client, outcome, channel, attempts, told } = await world(t, [slow, slow], {});
  const tail = client({ hedge: { delayMs: 50 } });
  const call = tail.say({});
  assert.equal(await outcome(call, 60), "pending");
  assert.deepEqual(attempts().flat().sort(), ["0", "1"], "one at each endpoint, the second known as such");
  assert.equal(await outcome(tail.say({}, { timeoutMs: 200 }), 300), "deadline_exceeded");
  assert.deepEqual(cancelled, ["Say", "Say"], "the end of a call is the end of its hedge");
  const other = await world(t, [(_, nth) => (nth === 1 ? slow(_, nth, other.platform) : "the hedge")]);
  assert.equal(await other.outcome(other.client({ hedge: { delayMs: 50 } }).say({}), 60), "the hedge");
  assert.equal(cancelled.length, 3);
  assert.equal(other.channel.pick()?.balanced?.load.pending, 0);
  assert.equal(told("resilience.hedge").length, 2);
  assert.equal(channel.endpoints().length, 2);
});

test("what may not be repeated is not hedged", async t => {
  const { client, outcome, attempts } = await world(t, [after(200, "late")]);
  assert.equal(await outcome(client({ hedge: { delayMs: 50 } }).forget({})), "late");
  assert.equal(attempts()[0]?.length, 1);
});

test("a hedge that fails leaves the call to the attempt before it", async t => {
  const { client, outcome, attempts } = await world(t, [
    (call, nth, platform) => (nth === 1 ? after(200, "late") : failing("unavailable", 9))(call, nth, platform),
  ]);
  assert.equal(await outcome(client({ hedge: { delayMs: 50 } }).say({})), "late");
  assert.equal(attempts()[0]?.length, 2);
});

test("a burst of calls that wait for their first answers is not throttled", async t => {
  const { client, platform } = await world(t, [after(50, "well"), after(50, "well")]);
  const one = client();
  const calls = Promise.all(Array.from({ length: 300 }, () => one.say({})));
  await platform.clock.advance(500);
  assert.equal((await calls).length, 300);
});

test("equal keys go to the same endpoint", async t => {
  const { channel, outcome, attempts } = await world(t, [() => "a", () => "b", () => "c"], {
    balancing: { rule: "ring_hash", hashBy: { field: "sentence" } },
  });
  const client = createClient(ElizaService, channel);
  const answers = new Set<string>();
  for (let count = 0; count < 12; count++) answers.add(await outcome(client.say({ sentence: "customer-7" }), 10));
  assert.equal(answers.size, 1);
  for (let count = 0; count < 60; count++) await outcome(client.say({ sentence: `customer-${count}` }), 10);
  assert.ok(attempts().every(({ length }) => length > 0));
});

test("options that cannot be are refused at start, by their name", () => {
  const platform = virtualPlatform();
  const refused = (options: object, name: RegExp) =>
    assert.throws(() => createClient(ElizaService, "10.0.0.1:80", { platform, ...options }), name);
  refused({ policy: { retry: { attempts: 0 } } }, /policy\.retry\.attempts/);
  refused({ policy: { retries: {} } }, /policy\.retries is not an option/);
  refused({ policy: { attemptTimeoutMs: -1 } }, /policy\.attemptTimeoutMs/);
  refused({ policy: { retry: { codes: ["nope"] } } }, /nope/);
  refused({ balancing: { rule: "fastest" } }, /balancing\.rule/);
  refused({ balancing: { hashBy: { field: "sentence" } } }, /balancing\.hashBy means nothing/);
  refused({ balancing: { rule: "ring_hash", hashBy: { field: "customer" } } }, /no request of .* has such a field/);
});
