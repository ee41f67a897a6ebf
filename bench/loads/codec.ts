// Runs the codecs of several peers in one process, in turns. Argument: JSON {scenario, peers, rounds, seconds};
// the last line is JSON: operations per CPU-second and CPU time per operation, for each peer and round.

import type { CodecPeer } from "../peers/protocol/codec.ts";
import { checkOrder } from "../peers/protocol/order.ts";

const { scenario, peers, rounds, seconds } = JSON.parse(process.argv[2] ?? "{}") as {
  scenario: keyof CodecPeer;
  peers: string[];
  rounds: number;
  seconds: number;
};

const batch = 2_000;
const codecs = await Promise.all(
  peers.map(async peer => {
    const module = (await import(`../peers/${peer}/codec.ts`)) as { codec: CodecPeer };
    const convert = module.codec[scenario];
    checkOrder(convert());
    return { peer, convert, samples: [] as { perSecond: number; clientCpuUs: number }[] };
  }),
);

/** Whole batches until the time is over; the result of each is looked at, so that none can be optimised away. */
function run(convert: () => { items?: readonly unknown[] | null }, forSeconds: number) {
  const start = process.hrtime.bigint();
  const until = start + BigInt(Math.round(forSeconds * 1e9));
  const cpuBefore = process.cpuUsage();
  let operations = 0;
  let items = 0;
  do {
    for (let n = 0; n < batch; n++) items += convert().items?.length ?? 0;
    operations += batch;
  } while (process.hrtime.bigint() < until);
  if (items !== operations * 2) throw new Error("a codec lost items");
  const cpu = process.cpuUsage(cpuBefore);
  const elapsed = Number(process.hrtime.bigint() - start) / 1e9;
  return { perSecond: operations / elapsed, clientCpuUs: (cpu.user + cpu.system) / operations };
}

for (const { convert } of codecs) run(convert, seconds);
for (let round = 0; round < rounds; round++) {
  for (const { convert, samples } of codecs) samples.push(run(convert, seconds));
}
process.stdout.write(`${JSON.stringify(Object.fromEntries(codecs.map(({ peer, samples }) => [peer, samples])))}\n`);
