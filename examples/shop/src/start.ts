/** `npm start`: every service of the shop as a process of its own, started again when it dies. See `--help`. */
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { isPortTaken } from "./port-check.ts";
import { ServiceProcess } from "./service-process.ts";
import { parsePortOffset, portOf, type ServiceName, services } from "./services.ts";
import { stateFolder } from "./state.ts";

const usage = `npm start -- [options]

  --only order,customer   start these services only
  --fresh                 delete the shop's data first
  --help                  print this

Environment: PORT_OFFSET moves every port (default 0), HOST is the address to listen on (default 127.0.0.1).
`;

/** A second signal this soon after the first is the same Ctrl-C: npm passes on what the terminal sent to all. */
const sameSignalMs = 1_000;

function fail(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function parseOptions() {
  try {
    const { values } = parseArgs({
      options: { only: { type: "string" }, fresh: { type: "boolean" }, help: { type: "boolean" } },
    });
    return { ...values, offset: parsePortOffset(process.env.PORT_OFFSET) };
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`);
  }
}

function chosenServices(only: string | undefined): readonly ServiceName[] {
  const all = services.map(({ name }) => name);
  if (only === undefined) return all;
  const wanted = only.split(",").map(name => name.trim().replace(/(-service)?$/, "-service"));
  const unknown = wanted.find(name => !all.some(known => known === name));
  if (unknown !== undefined) fail(`--only: "${unknown}" is not one of ${all.join(", ")}`);
  return all.filter(name => wanted.includes(name));
}

const options = parseOptions();
if (options.help === true) {
  process.stdout.write(usage);
  process.exit(0);
}
const names = chosenServices(options.only);
const host = process.env.HOST ?? "127.0.0.1";

function tellTaken(name: ServiceName): void {
  const port = portOf(name, options.offset);
  process.stderr.write(
    `port ${port} of ${name} on ${host} is taken; PORT_OFFSET (now ${options.offset}) moves all ports, HOST the address\n`,
  );
}

if (options.fresh === true) {
  // A shop that runs still has its files open: they are not deleted under it.
  for (const { name } of services) {
    if (!(await isPortTaken(host, portOf(name, options.offset)))) continue;
    tellTaken(name);
    process.exit(1);
  }
  rmSync(stateFolder(options.offset), { recursive: true, force: true });
}

let stoppingSince: number | undefined;
let isForced = false;
const processes = names.map((name, index) => new ServiceProcess(name, index));

async function stop(exitCode: number): Promise<never> {
  stoppingSince ??= performance.now();
  await Promise.all(processes.map(service => service.stop()));
  process.exit(isForced ? 1 : exitCode);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stoppingSince === undefined) {
      process.stdout.write("stopping; once more ends it at once\n");
      void stop(0);
    } else if (performance.now() - stoppingSince > sameSignalMs) {
      isForced = true;
      for (const service of processes) service.kill();
    }
  });
}

const failures = await Promise.all(processes.map(service => service.start()));
const takenAt = failures.indexOf("port-taken");
const failedAt = failures.findIndex(failure => failure !== undefined);
const taken = names[takenAt];
const failed = names[failedAt];
if (stoppingSince !== undefined) {
  // The handler of the signal ends the process.
} else if (taken !== undefined) {
  tellTaken(taken);
  await stop(1);
} else if (failed !== undefined) {
  process.stderr.write(`${failed} did not start\n`);
  await stop(1);
} else {
  const width = Math.max(...names.map(name => name.length));
  for (const { name, contract } of services.filter(service => names.includes(service.name))) {
    process.stdout.write(`${name.padEnd(width)}  http://${host}:${portOf(name, options.offset)}  ${contract}\n`);
  }
  const first = names[0];
  if (first !== undefined) {
    process.stdout.write(`shop is ready: http://${host}:${portOf(first, options.offset)}\n`);
  }
}
