/** `npm run soak`: processes on a broker that are killed, stopped and cut off for minutes, and what becomes of their events. See `--help`. */
import process from "node:process";
import { parseArgs } from "node:util";
import { parsePortOffset } from "../../examples/shop/src/processes/services.ts";
import { systemPlatform } from "../../src/platform/index.ts";
import { type CarrierName, carrierNames, whyNot } from "./carrier.ts";
import { soakEvents } from "./events.ts";

const minutesDefault = "10";
const minutesMax = 7 * 24 * 60;
const seedMax = 2 ** 32 - 1;
/** Away from a shop that runs, from those of tests, and from each other. */
const offsets: Readonly<Record<CarrierName, string>> = { embedded: "-24400", rabbitmq: "-24300", kafka: "-24200" };

const usage = `npm run soak -- events --broker ${carrierNames.join("|")} [options]

Producers, consumers and the example shop on one broker, as processes, while they are killed (SIGKILL) and paused
(SIGSTOP), connections are cut or silent, and the broker is killed or paused. Then everything is healed, and judged:
what was confirmed and is lost, what nobody published, what came out of order where order is promised, and whether the
shop's orders, stock, notifications and figures agree. Ends with 1 when something is wrong; histories and logs stay then.

  --broker    embedded, rabbitmq or kafka
  --minutes   how long there is trouble (default ${minutesDefault}); a fraction is fine
  --seed      decides the troubles (default: a new one each time)
  --help      print this

Environment: PORT_OFFSET moves the ports of the shop (default ${offsets.embedded} and others).
`;

function parseOptions() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        broker: { type: "string" },
        minutes: { type: "string", default: minutesDefault },
        seed: { type: "string", default: String(systemPlatform.random.below(seedMax)) },
        help: { type: "boolean", default: false },
      },
    });
    if (values.help) return undefined;
    if (positionals.length !== 1 || positionals[0] !== "events") {
      throw new TypeError(`expected "events", got "${positionals.join(" ")}"`);
    }
    const broker = carrierNames.find(name => name === values.broker);
    if (broker === undefined) {
      throw new TypeError(`--broker: expected ${carrierNames.join(", ")}, got "${values.broker ?? ""}"`);
    }
    const minutes = Number(values.minutes);
    if (!(minutes > 0 && minutes <= minutesMax)) {
      throw new TypeError(`--minutes: expected a number above 0, at most ${minutesMax}, got "${values.minutes}"`);
    }
    const seed = Number(values.seed);
    if (!Number.isInteger(seed) || seed < 0 || seed > seedMax) {
      throw new TypeError(`--seed: expected a whole number from 0 to ${seedMax}, got "${values.seed}"`);
    }
    if (process.platform === "win32") throw new TypeError("Windows cannot pause a process: there is no SIGSTOP");
    return { broker, minutes, seed, offset: parsePortOffset(process.env["PORT_OFFSET"] || offsets[broker]) };
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n\n${usage}`);
    process.exit(2);
  }
}

const options = parseOptions();
if (options === undefined) {
  process.stdout.write(usage);
  process.exit(0);
}
const reason = whyNot(options.broker);
if (reason !== false) {
  process.stderr.write(`${options.broker}: ${reason}\n`);
  process.exit(2);
}

// However this ends, nothing stays behind: a paused process would not notice that its parent is gone.
const ends: (() => void)[] = [];
process.on("exit", () => {
  for (const end of ends) end();
});
for (const [signal, exitCode] of [
  ["SIGINT", 130],
  ["SIGTERM", 143],
] as const) {
  process.on(signal, () => process.exit(exitCode));
}

const tell = (line: string): void => void process.stdout.write(`${line}\n`);
try {
  process.exitCode = (await soakEvents({ ...options, tell, atExit: end => ends.push(end) })) ? 0 : 1;
} catch (error) {
  process.stderr.write(`${(error as Error).stack}\n`);
  process.exitCode = 1;
}
process.exit();
