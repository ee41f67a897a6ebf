import { memoryUsage } from "node:process";
import { createInterface } from "node:readline";

/** What a server process answers on the line `stats`. CPU time is user + system of the whole process. */
export interface ServerStats {
  readonly cpuUs: number;
  readonly rssBytes: number;
  /** Used JavaScript heap plus memory that V8 knows outside it (buffers); 0 where there is no V8. */
  readonly heapBytes: number;
}

/**
 * The server's half of the process protocol: prints `{"port":N}`, then answers each line `stats` with {@link ServerStats},
 * `gc` with the same after garbage collection (needs `--expose-gc`), and leaves when stdin ends.
 */
export function serving(port: number): void {
  const lines = createInterface({ input: process.stdin });
  lines.on("line", async line => {
    if (line === "gc") await collectGarbage();
    if (line === "gc" || line === "stats") process.stdout.write(`${JSON.stringify(stats())}\n`);
  });
  lines.on("close", () => process.exit(0));
  process.stdout.write(`${JSON.stringify({ port })}\n`);
}

/** The port of a listening `node:net` server. */
export function portOf(server: { address(): unknown }): number {
  const address = server.address();
  if (typeof address === "object" && address !== null && "port" in address) return Number(address.port);
  throw new Error("the server has no port: it is not listening on TCP");
}

function stats(): ServerStats {
  const cpu = process.cpuUsage();
  const memory = memoryUsage();
  return { cpuUs: cpu.user + cpu.system, rssBytes: memory.rss, heapBytes: memory.heapUsed + memory.external };
}

/** Twice, with a turn of the event loop between: finalizers release memory that only the second run can return. */
async function collectGarbage(): Promise<void> {
  const { gc } = globalThis;
  if (gc === undefined) throw new Error("start the server with --expose-gc");
  for (let run = 0; run < 3; run++) {
    await gc();
    await new Promise(resolve => setImmediate(resolve));
  }
}
