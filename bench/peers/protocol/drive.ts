import { performance } from "node:perf_hooks";

/** The client's one argument, as JSON. */
export interface LoadOptions {
  readonly port: number;
  readonly scenario: string;
  readonly warmupSeconds: number;
  readonly seconds: number;
  /** Steps in flight at any time. */
  readonly concurrency: number;
}

/** The client's last line. CPU time is user + system of the client process within the measured seconds. */
export interface LoadResult {
  readonly operations: number;
  readonly seconds: number;
  readonly cpuUs: number;
  readonly p50Us: number;
  readonly p99Us: number;
  readonly rssBytes: number;
}

/** One scenario as a client library runs it. */
export interface Load {
  /** One call whose answer is examined; throws when the peer does not do the work that is being measured. */
  check(): Promise<void>;
  /** One step: a call, or a stream. `received` is called once for each operation within it. */
  step(received: () => void): Promise<void>;
}

/**
 * The client's half of the process protocol: checks the peer, keeps `concurrency` steps in flight, prints
 * `{"measuring":true}` after the warm-up and a {@link LoadResult} at the end, then leaves at once.
 */
export async function drive(scenarios: Record<string, (options: LoadOptions) => Load | Promise<Load>>): Promise<void> {
  const options = JSON.parse(process.argv[2] ?? "{}") as LoadOptions;
  const scenario = scenarios[options.scenario];
  if (scenario === undefined) throw new Error(`no scenario ${options.scenario}`);
  const load = await scenario(options);
  await load.check();

  let operations = 0;
  const latencies = new LatencySamples();
  const received = () => {
    operations++;
  };
  const worker = async () => {
    for (;;) {
      const startMs = performance.now();
      await load.step(received);
      latencies.add(performance.now() - startMs);
    }
  };
  const fail = (error: unknown) => {
    process.stderr.write(`${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    process.exit(1);
  };
  for (let n = 0; n < options.concurrency; n++) worker().catch(fail);

  await delay(options.warmupSeconds * 1000);
  latencies.clear();
  process.stdout.write('{"measuring":true}\n');
  const operationsBefore = operations;
  const cpuBefore = process.cpuUsage();
  const startMs = performance.now();
  await delay(options.seconds * 1000);
  const cpu = process.cpuUsage(cpuBefore);
  const result: LoadResult = {
    operations: operations - operationsBefore,
    seconds: (performance.now() - startMs) / 1000,
    cpuUs: cpu.user + cpu.system,
    ...latencies.percentilesUs(),
    rssBytes: process.memoryUsage.rss(),
  };
  process.stdout.write(`${JSON.stringify(result)}\n`, () => process.exit(0));
}

/** A step that is one call and counts as one operation. */
export function unary(call: () => Promise<unknown>): Load["step"] {
  return async received => {
    await call();
    received();
  };
}

const delay = (ms: number) => new Promise(resolve => setTimeout(resolve, ms));

/** The last 2^20 latencies: more than any client here makes in the seconds of one round. */
class LatencySamples {
  readonly #samplesMs = new Float64Array(1 << 20);
  #count = 0;

  add(ms: number): void {
    this.#samplesMs[this.#count++ & (this.#samplesMs.length - 1)] = ms;
  }

  clear(): void {
    this.#count = 0;
  }

  percentilesUs(): { p50Us: number; p99Us: number } {
    const sorted = this.#samplesMs.subarray(0, Math.min(this.#count, this.#samplesMs.length)).sort();
    const at = (share: number) => (sorted[Math.floor((sorted.length - 1) * share)] ?? Number.NaN) * 1000;
    return { p50Us: at(0.5), p99Us: at(0.99) };
  }
}
