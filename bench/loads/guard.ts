// Runs guards of functions of several peers in one process, in turns. Argument: JSON {scenario, peers, rounds, seconds};
// the last line is JSON: calls per second, CPU time and surviving heap per call, for each peer and round.

import type { GuardPeer, GuardScenario } from "../peers/protocol/guard.ts";

const { scenario, peers, rounds, seconds } = JSON.parse(process.argv[2] ?? "{}") as {
  scenario: GuardScenario;
  peers: string[];
  rounds: number;
  seconds: number;
};

const batch = 2_000;
const gc = globalThis.gc ?? (() => {});
const guarded = await Promise.all(
  peers.map(async peer => {
    const { guards } = (await import(`../peers/${peer}/guard.ts`)) as { guards: GuardPeer };
    const call = guards[scenario];
    if (call === undefined) throw new Error(`${peer} has no ${scenario}`);
    await check(call);
    return { peer, call, samples: [] as { perSecond: number; clientCpuUs: number; heapBytesEach: number }[] };
  }),
);

/** A guard that answers something else, or does not reject, is an error and not a record. */
async function check(call: () => unknown): Promise<void> {
  const [result] = await Promise.allSettled([call()]);
  const isRight =
    scenario === "breaker-open"
      ? result?.status === "rejected"
      : result?.status === "fulfilled" && result.value === (scenario === "breaker-open-permit" ? true : 1);
  if (!isRight) throw new Error(`${scenario}: unexpected ${JSON.stringify(result)}`);
}

async function batchOf(call: () => unknown): Promise<void> {
  if (scenario === "breaker-open-permit") for (let n = 0; n < batch; n++) call();
  else if (scenario === "breaker-open")
    for (let n = 0; n < batch; n++) await (call() as Promise<unknown>).catch(() => {});
  else for (let n = 0; n < batch; n++) await call();
}

/** Whole batches until the time is over. */
async function run(call: () => unknown, forSeconds: number) {
  gc();
  const heapBefore = process.memoryUsage().heapUsed;
  // A full collection makes V8 drop optimised code whose hidden classes it found unused: every peer gets it back first.
  const warmUntil = process.hrtime.bigint() + BigInt(Math.round(forSeconds * 0.5e9));
  let warm = 0;
  do {
    await batchOf(call);
    warm += batch;
  } while (process.hrtime.bigint() < warmUntil);
  const start = process.hrtime.bigint();
  const until = start + BigInt(Math.round(forSeconds * 1e9));
  const cpuBefore = process.cpuUsage();
  let calls = 0;
  do {
    await batchOf(call);
    calls += batch;
  } while (process.hrtime.bigint() < until);
  const cpu = process.cpuUsage(cpuBefore);
  const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
  gc();
  const heapBytesEach = Math.max(0, process.memoryUsage().heapUsed - heapBefore) / (warm + calls);
  return { perSecond: calls / elapsed, clientCpuUs: (cpu.user + cpu.system) / calls, heapBytesEach };
}

for (const { call } of guarded) await run(call, seconds);
for (let round = 0; round < rounds; round++) {
  for (const { call, samples } of guarded) samples.push(await run(call, seconds));
}
process.stdout.write(`${JSON.stringify(Object.fromEntries(guarded.map(({ peer, samples }) => [peer, samples])))}\n`);
process.exit();
