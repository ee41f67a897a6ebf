/** `npm start`: every service of the shop as a process of its own, started again when it dies. See `--help`. */
import { rmSync } from "node:fs";
import { parseArgs } from "node:util";
import { customerChannel } from "./processes/discovery.ts";
import { isPortTaken } from "./processes/port-check.ts";
import { parseReplicas } from "./processes/replicas.ts";
import { parsePortOffset, parseServiceName, portOf, type ServiceName, services } from "./processes/services.ts";
import { stateFolder } from "./processes/state.ts";
import { Supervisor } from "./processes/supervisor.ts";

const usage = `npm start -- [options]

  --only order,customer   start these services only
  --replicas customer=3   start several instances of a service, up to 9: the first one on the service's port, the
                          others 10, 20, … above it (customer-service: 50052, 50062, 50072)
  --fresh                 delete the shop's data first
  --help                  print this

Environment:
  PORT_OFFSET       moves every port (default 0); shops whose offsets are 100 apart never meet
  HOST              the address to listen on (default 127.0.0.1)
  EVENTS_URL        where events go: a file of the shop's own (default), amqp://user:password@host, kafka://host:port,
                    or sqlite:/path/to/events.db
  DISCOVERY         how order-service finds customer-service: static (default; the instances that run here), dns
                    (localhost, the first instance) or k8s (the Service customer-service of POD_NAMESPACE)
  CUSTOMER_ADDRESS  where that is elsewhere: "host:port,host:port" (static), "host:port" (dns), "service.namespace:port" (k8s)
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
      options: {
        only: { type: "string" },
        replicas: { type: "string" },
        fresh: { type: "boolean" },
        help: { type: "boolean" },
      },
    });
    const offset = parsePortOffset(process.env.PORT_OFFSET);
    const names = chosenServices(values.only);
    // Asks nobody: a target that cannot be is said here, and not by every start of a service.
    customerChannel(process.env, offset).close();
    return { ...values, offset, names, replicas: parseReplicas(values.replicas, names, offset) };
  } catch (error) {
    return fail(`${(error as Error).message}\n\n${usage}`);
  }
}

function chosenServices(only: string | undefined): readonly ServiceName[] {
  const all = services.map(({ name }) => name);
  if (only === undefined) return all;
  const wanted = only.split(",").map(name => parseServiceName(name, "--only"));
  return all.filter(name => wanted.includes(name));
}

const options = parseOptions();
if (options.help === true) {
  process.stdout.write(usage);
  process.exit(0);
}
const { names, replicas } = options;
const host = process.env.HOST ?? "127.0.0.1";

function tellTaken(name: ServiceName, instance = 1): void {
  const port = portOf(name, options.offset, instance);
  process.stderr.write(
    `port ${port} of ${name} on ${host} is taken; PORT_OFFSET (now ${options.offset}) moves all ports, HOST the address\n`,
  );
}

if (options.fresh === true) {
  // A shop that runs still has its files open: they are not deleted under it.
  for (const { name } of services) {
    for (let instance = 1; instance <= (replicas.get(name) ?? 1); instance++) {
      if (!(await isPortTaken(host, portOf(name, options.offset, instance)))) continue;
      tellTaken(name, instance);
      process.exit(1);
    }
  }
  rmSync(stateFolder(options.offset), { recursive: true, force: true });
}

let stoppingSince: number | undefined;
let isForced = false;
const supervisor = new Supervisor({
  replicas,
  offset: options.offset,
  host,
  environment: process.env,
  output: { stdout: process.stdout, stderr: process.stderr },
});

async function stop(exitCode: number): Promise<never> {
  stoppingSince ??= performance.now();
  await supervisor.stop();
  process.exit(isForced ? 1 : exitCode);
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  process.on(signal, () => {
    if (stoppingSince === undefined) {
      process.stdout.write("stopping; once more ends it at once\n");
      void stop(0);
    } else if (performance.now() - stoppingSince > sameSignalMs) {
      isForced = true;
      supervisor.kill();
    }
  });
}

const failed = await supervisor.start();
if (stoppingSince !== undefined) {
  // The handler of the signal ends the process.
} else if (failed !== undefined) {
  const { name, instance } = failed.service;
  if (failed.reason === "port-taken") tellTaken(name, instance);
  else process.stderr.write(`${name} did not start\n`);
  await stop(1);
} else {
  const width = Math.max(...names.map(name => name.length));
  for (const { name, contract } of services.filter(service => names.includes(service.name))) {
    const instances = replicas.get(name) ?? 1;
    for (let instance = 1; instance <= instances; instance++) {
      const port = portOf(name, options.offset, instance);
      process.stdout.write(`${name.padEnd(width)}  http://${host}:${port}  ${contract}\n`);
    }
  }
  const first = names[0];
  if (first !== undefined) {
    process.stdout.write(`shop is ready: http://${host}:${portOf(first, options.offset)}\n`);
  }
}
