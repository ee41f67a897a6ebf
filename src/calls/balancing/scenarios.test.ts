import assert from "node:assert/strict";
import { it } from "node:test";
import { SeededRandom, VirtualClock } from "../../platform/virtual/index.ts";
import { Balancer, type BalancingOptions } from "./balancer.ts";
import type { BalancerEndpoint } from "./balancer-endpoint.ts";

/** A server with a number of threads and a queue before them. */
interface Server {
  readonly serviceMs: number;
  /** Share of calls that fail at once. */
  readonly failing?: number;
}

interface Result {
  readonly succeeded: number;
  readonly failed: number;
  readonly p99Ms: number;
  readonly byServer: readonly number[];
}

const threads = 4;

/** Sends calls at even intervals for so long to servers that queue, all on the virtual clock. */
function run(servers: readonly Server[], options: BalancingOptions, perSecond: number, seconds: number): Result {
  const clock = new VirtualClock();
  const random = new SeededRandom(7);
  const balancer = new Balancer<number>(options, { target: "test", clock, random });
  balancer.update(
    servers.map((_, index) => ({ key: String(index) })),
    Number,
  );
  const freeAtMs = servers.map(() => new Float64Array(threads));
  const latencies: number[] = [];
  const byServer = servers.map(() => 0);
  let failed = 0;
  const call = (): void => {
    const endpoint = balancer.pick() as BalancerEndpoint<number>;
    const index = endpoint.owned;
    const { serviceMs, failing = 0 } = servers[index] as Server;
    byServer[index] = (byServer[index] ?? 0) + 1;
    endpoint.load.begun();
    if (random.next() < failing) {
      failed++;
      clock.after(1, () => balancer.failed(endpoint, 1));
      return;
    }
    const free = freeAtMs[index] as Float64Array;
    const thread = free.indexOf(Math.min(...free));
    const endMs = Math.max(clock.now(), free[thread] as number) + serviceMs;
    free[thread] = endMs;
    const latencyMs = endMs - clock.now();
    clock.after(latencyMs, () => {
      latencies.push(latencyMs);
      balancer.succeeded(endpoint, latencyMs);
    });
  };
  for (let index = 0; index < perSecond * seconds; index++) clock.after((index * 1_000) / perSecond, call);
  clock.advanceSync(seconds * 1_000 + 60_000);
  latencies.sort((a, b) => a - b);
  const p99Ms = latencies[Math.floor(latencies.length * 0.99)] ?? Number.POSITIVE_INFINITY;
  return { succeeded: latencies.length, failed, p99Ms, byServer };
}

const equal: readonly Server[] = Array.from({ length: 5 }, () => ({ serviceMs: 10 }));

it("one server of five that is ten times slower does not make the 99th percentile its own, as turns do", () => {
  const servers = [...equal.slice(1), { serviceMs: 100 }];
  const ewma = run(servers, {}, 500, 20);
  const turns = run(servers, { rule: "round_robin" }, 500, 20);
  assert(ewma.p99Ms <= 100, `p99 ${ewma.p99Ms}`);
  assert(turns.p99Ms > 1_000, `p99 ${turns.p99Ms} in turn: the slow server's queue grows`);
  assert((ewma.byServer[4] ?? 0) < 500 * 20 * 0.05);
});

it("a server that fails at once attracts next to nothing, with and without ejection", () => {
  const servers = [...equal.slice(1), { serviceMs: 1, failing: 1 }];
  const ejecting = run(servers, {}, 500, 30);
  const penalised = run(servers, { ejection: false }, 500, 30);
  // Fewer than one in a hundred; in turn it would be one in five.
  assert(ejecting.failed < 30, String(ejecting.failed));
  assert(penalised.failed < 45, String(penalised.failed));
});

it("a server that fails every second call gets far less than its share", () => {
  const { failed, succeeded } = run([...equal.slice(1), { serviceMs: 10, failing: 0.5 }], {}, 500, 30);
  assert(failed / (failed + succeeded) < 0.04, `${failed} of ${failed + succeeded}; in turn: a tenth`);
});

it("equal servers are loaded equally", () => {
  const { byServer } = run(equal, {}, 1_000, 10);
  for (const count of byServer) assert(count > 1_600 && count < 2_400, byServer.join());
});
