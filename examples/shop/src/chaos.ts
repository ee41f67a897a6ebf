/** `npm run shop:chaos`: what callers of the shop notice while instances of customer-service are killed. See `--help`. */
import { mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { Writable } from "node:stream";
import { parseArgs } from "node:util";
import { systemPlatform } from "trunkline";
import { areMet, asJson, asText } from "./chaos/report.ts";
import { runChaos } from "./chaos/run.ts";
import { isPortTaken } from "./processes/port-check.ts";
import { parsePortOffset, portOf } from "./processes/services.ts";
import { stateFolder } from "./processes/state.ts";
import { Supervisor } from "./processes/supervisor.ts";

const secondsDefault = 30;
/** Away from a shop that runs, and below the ports that systems give to connections. */
const offsetDefault = "-20000";
const seedMax = 2 ** 32 - 1;

const usage = `npm run shop:chaos -- [options]

Starts a shop with three instances of customer-service and reads GET /api/orders/123 all the time, while one instance
at a time is killed (SIGKILL), paused (SIGSTOP) or restarted (SIGTERM); then all of them are paused, and then stopped.
Ends with 1 when too many reads fail, lack their customer or are late.

  --seconds 30   how long instances come and go one at a time, 3 to 3600; the outages take as long again, 25 s at most
  --seed 1       decides who is troubled when (default: a new one each time)
  --json         print the figures as JSON
  --help         print this

Environment: PORT_OFFSET moves every port (default ${offsetDefault}).
`;

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function integer(option: string, text: string, min: number, max: number): number {
  const value = /^[0-9]{1,10}$/.test(text) ? Number(text) : Number.NaN;
  if (value >= min && value <= max) return value;
  throw new TypeError(`${option}: expected a whole number from ${min} to ${max}, got "${text}"`);
}

function parseOptions() {
  try {
    const { values } = parseArgs({
      options: {
        seconds: { type: "string", default: String(secondsDefault) },
        seed: { type: "string", default: String(systemPlatform.random.below(seedMax)) },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    if (process.platform === "win32") throw new TypeError("Windows cannot pause a process: there is no SIGSTOP");
    return {
      ...values,
      seconds: integer("--seconds", values.seconds, 3, 3_600),
      seed: integer("--seed", values.seed, 0, seedMax),
      offset: parsePortOffset(process.env.PORT_OFFSET || offsetDefault),
    };
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`);
  }
}

/** Keeps the end of what the services say, for when they do not start. */
class LastWords extends Writable {
  text = "";
  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.text = (this.text + chunk.toString()).slice(-4_096);
    done();
  }
}

const options = parseOptions();
if (options.help) {
  process.stdout.write(usage);
  process.exit(0);
}
const { offset, seconds, seed } = options;
const folder = stateFolder(offset);
const tallyFolder = join(folder, "tally");
/** Whatever `HOST` says: nobody else has to reach a shop that is being hurt. */
const host = "127.0.0.1";
const services = new LastWords();
const supervisor = new Supervisor({
  replicas: new Map([
    ["order-service", 1],
    ["customer-service", 3],
  ]),
  offset,
  host,
  environment: { ...process.env, DISCOVERY: "static", CUSTOMER_ADDRESS: "", REQUEST_TALLY: tallyFolder },
  output: { stdout: services, stderr: services },
});

// However this ends, nothing stays behind: a paused process would not notice that its supervisor is gone.
process.on("exit", () => supervisor.kill());
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => process.exit(exitCode));
}

async function run(): Promise<boolean> {
  // One that runs still has its files open, and counts in them.
  const port = portOf("order-service", offset);
  if (await isPortTaken(host, port)) {
    throw new Error(`port ${port} of order-service on ${host} is taken; PORT_OFFSET (now ${offset}) moves all ports`);
  }
  rmSync(folder, { recursive: true, force: true });
  mkdirSync(tallyFolder, { recursive: true });
  const failed = await supervisor.start();
  if (failed !== undefined) {
    throw new Error(
      `${failed.service.name} did not start (PORT_OFFSET, now ${offset}, moves all ports):\n${services.text.trimEnd()}`,
    );
  }
  const tell = (line: string): void => void (options.json || process.stdout.write(`${line}\n`));
  const result = await runChaos({ supervisor, offset, host, tallyFolder, seconds, seed, tell });
  await supervisor.stop();
  process.stdout.write(options.json ? asJson(result) : `\n${asText(result)}`);
  return areMet(result.targets);
}

try {
  process.exitCode = (await run()) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${(error as Error).message}\n`);
  process.exitCode = 1;
}
process.exit();
