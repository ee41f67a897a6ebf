import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type ByteStream, contextKey, contextValue, type ObservedEvent, runInContext } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import {
  type ClientConnection,
  type ClientConnectionHandler,
  type ClientExchange,
  ExchangeError,
} from "../exchange.ts";
import { ConnectionPool, type PoolOptions } from "./pool.ts";

const startContext = contextKey<string>("request");

/** A connection whose exchanges the test begins and ends. */
class Fake implements ClientConnection {
  readonly info = { remoteAddress: "", remotePort: 0, localPort: 0, tls: undefined, derived: undefined };
  readonly httpVersion: 1 | 2;
  readonly stream: ByteStream;
  readonly handler: ClientConnectionHandler;
  readonly context = contextValue(startContext);
  max: number;
  activeExchanges = 0;
  isClosed = false;
  isDraining = false;

  constructor(version: 1 | 2, max: number, stream: ByteStream, handler: ClientConnectionHandler) {
    this.httpVersion = version;
    this.max = max;
    this.stream = stream;
    this.handler = handler;
    stream.handler = {
      data() {},
      drained() {},
      ended: () => this.destroy(),
      closed: error => {
        this.isClosed = true;
        handler.closed(error);
      },
    };
  }
  get capacity(): number {
    return this.isClosed || this.isDraining ? 0 : this.max - this.activeExchanges;
  }
  request(): ClientExchange {
    assert.ok(this.capacity > 0, "a request on a full connection");
    this.activeExchanges++;
    return undefined as unknown as ClientExchange;
  }
  finish(): void {
    this.activeExchanges--;
    this.handler.capacityChanged();
    if (this.isDraining && this.activeExchanges === 0) this.destroy();
  }
  goAway(): void {
    this.isDraining = true;
    this.handler.draining();
  }
  drain(): void {
    this.isDraining = true;
    if (this.activeExchanges === 0) this.destroy();
  }
  destroy(): void {
    this.stream.destroy();
  }
}

interface Rig {
  readonly platform: VirtualPlatform;
  readonly pool: ConnectionPool;
  readonly made: Fake[];
  readonly events: ObservedEvent[];
  readonly accepted: ByteStream[];
  close(): Promise<void>;
}

async function rig(options: Partial<PoolOptions> & { max?: number; listens?: boolean } = {}): Promise<Rig> {
  const platform = virtualPlatform();
  const made: Fake[] = [];
  const events: ObservedEvent[] = [];
  const accepted: ByteStream[] = [];
  const { max = 2, listens = true, ...rest } = options;
  const listening = listens
    ? await platform.network.listen({ host: "::", port: 50 }, stream => {
        stream.handler = { data() {}, drained() {}, ended: () => stream.destroy(), closed() {} };
        accepted.push(stream);
      })
    : undefined;
  const start = (version: 1 | 2) => (stream: ByteStream, handler: ClientConnectionHandler) => {
    const fake = new Fake(version, version === 1 ? 1 : max, stream, handler);
    made.push(fake);
    return fake;
  };
  const pool = new ConnectionPool(
    {
      host: "127.0.0.1",
      port: 50,
      platform,
      observer: { emit: event => void events.push(event) },
      ...rest,
    },
    { http1: start(1), http2: start(2) },
  );
  return {
    platform,
    pool,
    made,
    events,
    accepted,
    async close() {
      pool.destroy();
      await platform.clock.settle();
      assert.equal(pool.connections, 0);
      await listening?.close();
      assert.equal(platform.clock.pendingTimers, 0);
    },
  };
}

async function begin(pool: ConnectionPool): Promise<Fake> {
  const connection = (pool.tryAcquire() ?? (await pool.acquire())) as Fake;
  connection.request();
  return connection;
}

test("the first request makes a connection, outside of its own context, and the others share it", async () => {
  const { pool, made, close } = await rig();
  const first = await runInContext(startContext, "first request", () => begin(pool));
  assert.equal(first.context, undefined);
  assert.equal(await begin(pool), first);
  assert.equal(made.length, 1);
  assert.equal(pool.activeExchanges, 2);
  await close();
});

test("requests beyond the peer's limit get a further connection, beyond the pool's limit they wait in order", async () => {
  const { pool, made, close } = await rig({ limits: { http2ConnectionsMax: 2 } });
  const running = await Promise.all([begin(pool), begin(pool), begin(pool), begin(pool)]);
  assert.equal(made.length, 2);
  const order: number[] = [];
  const late = [1, 2].map(async n => {
    const connection = await begin(pool);
    order.push(n);
    return connection;
  });
  await Promise.resolve();
  assert.equal(pool.waiting, 2);
  assert.equal(pool.tryAcquire(), undefined, "nobody overtakes those who wait");
  running[0]?.finish();
  assert.equal(await late[0], running[0]);
  running[3]?.finish();
  assert.equal(await late[1], running[3]);
  assert.deepEqual(order, [1, 2]);
  await close();
});

test("a place that was promised is not given away before its owner takes it", async () => {
  const { pool, platform, made, close } = await rig({ protocol: "http1" });
  const one = begin(pool);
  const other = begin(pool);
  await Promise.all([one, other]);
  assert.equal(made.length, 2);
  await platform.clock.settle();
  made[0]?.finish();
  const promised = pool.acquire();
  await Promise.resolve();
  await Promise.resolve();
  assert.equal(pool.tryAcquire(), undefined);
  const connection = (await promised) as Fake;
  connection.request();
  await platform.clock.settle();
  connection.finish();
  assert.equal(pool.tryAcquire(), connection);
  await close();
});

test("HTTP/1.1 takes one connection per request and reuses the latest one first", async () => {
  const { pool, made, close } = await rig({ protocol: "http1", limits: { http1ConnectionsMax: 3 } });
  const running = await Promise.all([begin(pool), begin(pool), begin(pool)]);
  assert.deepEqual(running, made);
  const fourth = begin(pool);
  made[1]?.finish();
  assert.equal(await fourth, made[1]);
  made[0]?.finish();
  made[2]?.finish();
  assert.equal(await begin(pool), made[2]);
  assert.equal(await begin(pool), made[0]);
  await close();
});

test("after GOAWAY new requests go to a new connection and the running ones finish", async () => {
  const { pool, made, close } = await rig();
  const old = await begin(pool);
  old.goAway();
  assert.equal(pool.tryAcquire(), undefined);
  const next = await begin(pool);
  assert.notEqual(next, old);
  assert.equal(old.isClosed, false);
  old.finish();
  assert.equal(made.length, 2);
  await close();
});

test("a lost connection is replaced by the next request", async () => {
  const { pool, platform, close } = await rig();
  const old = await begin(pool);
  platform.network.cutAll();
  await platform.clock.settle();
  assert.equal(pool.connections, 0);
  assert.notEqual(await begin(pool), old);
  await close();
});

test("when nothing listens every request fails at once with the cause, and attempts back off", async () => {
  const { pool, platform, events, close } = await rig({ listens: false });
  const refused = (error: unknown) => {
    assert.ok(error instanceof ExchangeError);
    assert.equal(error.reason, "connection");
    assert.equal(error.unprocessed, true);
    assert.match(error.message, /cannot connect to 127\.0\.0\.1:50: connection refused/);
    return true;
  };
  await Promise.all([assert.rejects(pool.acquire(), refused), assert.rejects(pool.acquire(), refused)]);
  assert.ok(pool.isBackingOff);
  await assert.rejects(pool.acquire(), refused);
  assert.equal(events.length, 1, "one attempt so far");
  const pauses: number[] = [];
  for (let attempt = 0; attempt < 9; attempt++) {
    const event = events.at(-1) as unknown as { retryAfterMs: number };
    pauses.push(event.retryAfterMs);
    await platform.clock.advance(event.retryAfterMs);
    await assert.rejects(pool.acquire(), refused);
  }
  pauses.forEach((pauseMs, index) => {
    const fullMs = Math.min(50 * 2 ** index, 5_000);
    assert.ok(pauseMs >= fullMs / 2 && pauseMs <= fullMs, `pause ${index} took ${pauseMs} ms`);
  });
  await close();
});

test("a request waits no longer than it may, and not at all when too many wait", async () => {
  const { pool, platform, close } = await rig({ limits: { http2ConnectionsMax: 1, waitingMax: 2 } });
  await begin(pool);
  await begin(pool);
  const waiting = pool.acquire({ timeoutMs: 100 });
  const timedOut = assert.rejects(waiting, (error: ExchangeError) => {
    assert.equal(error.reason, "timeout");
    assert.match(error.message, /no connection to 127\.0\.0\.1:50 was free within 100 ms \(1 connections, all busy\)/);
    return error.unprocessed;
  });
  const abort = new AbortController();
  const aborted = assert.rejects(pool.acquire({ signal: abort.signal }), /changed my mind/);
  await assert.rejects(pool.acquire(), (error: ExchangeError) => error.reason === "limit" && error.unprocessed);
  abort.abort(new Error("changed my mind"));
  await aborted;
  await platform.clock.advance(100);
  await timedOut;
  assert.equal(pool.waiting, 0);
  await close();
});

test("a silent peer fails the attempt after the connect time-out", async () => {
  const { pool, platform, close } = await rig();
  platform.network.conditions.isSilent = true;
  const failed = assert.rejects(pool.acquire({ timeoutMs: 60_000 }), /no connection within 10000 ms/);
  await platform.clock.advance(10_000);
  await failed;
  await close();
});

test("idle connections are closed, old ones are replaced while their requests finish", async () => {
  const { pool, platform, made, close } = await rig({ limits: { idleTimeoutMs: 40_000, ageMaxMs: 200_000 } });
  const first = await begin(pool);
  first.finish();
  await platform.clock.advance(60_000);
  assert.equal(pool.connections, 0);

  const second = await begin(pool);
  await platform.clock.advance(230_000);
  assert.equal(second.isClosed, false);
  assert.equal(second.isDraining, true);
  const third = await begin(pool);
  assert.notEqual(third, second);
  second.finish();
  assert.equal(made.length, 3);
  await close();
});

test("draining finishes what runs, refuses what waits, and resolves when all is over", async () => {
  const { pool, platform } = await rig({ limits: { http2ConnectionsMax: 1 }, max: 1 });
  const running = await begin(pool);
  const waiting = assert.rejects(pool.acquire(), (error: ExchangeError) => error.reason === "draining");
  let isOver = false;
  const draining = pool.drain().then(() => {
    isOver = true;
  });
  await waiting;
  await platform.clock.settle();
  assert.equal(isOver, false);
  running.finish();
  await draining;
  await assert.rejects(pool.acquire(), /pool of 127\.0\.0\.1:50 is closed/);
  assert.equal(platform.clock.pendingTimers, 0);
});

type Step =
  | { readonly kind: "acquire"; readonly timeoutMs: number }
  | { readonly kind: "finish" | "goAway" | "lose"; readonly pick: number }
  | { readonly kind: "cut" | "refuse" | "listen" }
  | { readonly kind: "advance"; readonly ms: number };

const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("acquire" as const), timeoutMs: fc.nat(2_000) }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("finish" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("goAway" as const, "lose" as const), pick: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom("cut" as const, "refuse" as const, "listen" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("advance" as const), ms: fc.nat(30_000) }) },
);

test("whatever happens, nobody waits for ever, no connection is overloaded, and none is left behind", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom("http1" as const, "http2" as const),
      fc.array(step, { maxLength: 60 }),
      async (protocol, steps) => {
        const limits = { http1ConnectionsMax: 3, http2ConnectionsMax: 3, waitingMax: 5, idleTimeoutMs: 20_000 };
        const { pool, platform, made } = await rig({ protocol, limits, listens: false });
        const accept = (stream: ByteStream) => {
          stream.handler = { data() {}, drained() {}, ended: () => stream.destroy(), closed() {} };
        };
        let listening = await platform.network.listen({ host: "::", port: 50 }, accept);
        let isListening = true;
        let unsettled = 0;
        for (const one of steps) {
          const running = made.filter(fake => !fake.isClosed && fake.activeExchanges > 0);
          const open = made.filter(fake => !fake.isClosed);
          if (one.kind === "acquire") {
            unsettled++;
            const begun = pool.tryAcquire() ?? pool.acquire({ timeoutMs: one.timeoutMs });
            if (begun instanceof Fake) {
              begun.request();
              unsettled--;
            } else {
              void (begun as Promise<ClientConnection>)
                .then(
                  connection => void (connection as Fake).request(),
                  error => assert.ok(error instanceof ExchangeError && error.unprocessed),
                )
                .finally(() => unsettled--);
            }
          } else if (one.kind === "finish") running[one.pick % running.length]?.finish();
          else if (one.kind === "goAway") open[one.pick % open.length]?.goAway();
          else if (one.kind === "lose") open[one.pick % open.length]?.stream.destroy();
          else if (one.kind === "cut") platform.network.cutAll();
          else if (one.kind === "refuse" && isListening) {
            isListening = false;
            await listening.close();
          } else if (one.kind === "listen" && !isListening) {
            isListening = true;
            listening = await platform.network.listen({ host: "::", port: 50 }, accept);
          } else if (one.kind === "advance") await platform.clock.advance(one.ms);
          await platform.clock.settle();
          const usable = made.filter(fake => !fake.isClosed && !fake.isDraining);
          assert.ok(usable.length <= 3, `${usable.length} usable connections`);
          assert.ok(pool.waiting <= 5);
          const spare = usable.reduce((sum, fake) => sum + fake.capacity, 0);
          assert.ok(pool.waiting === 0 || spare === 0, `${pool.waiting} wait while ${spare} places are free`);
        }
        await platform.clock.advance(10_000);
        assert.equal(unsettled, 0, "a request waits for ever");
        pool.destroy();
        await platform.clock.settle();
        assert.equal(pool.connections, 0);
        assert.equal(platform.clock.pendingTimers, 0);
      },
    ),
    { numRuns: 150 },
  );
});
