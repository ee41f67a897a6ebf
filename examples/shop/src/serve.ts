/**
 * One service of the shop in a process of its own: `node serve.ts order-service`, or its second instance with `2` behind. Stops on SIGTERM and SIGINT after the
 * calls under way, and when the supervisor that started it is gone.
 */
import { mkdirSync } from "node:fs";
import { createServer, type Implementation, implement } from "trunkline";
import { setUpAnalytics } from "./analytics/setup.ts";
import { customerHandlers } from "./customers/customer-service.ts";
import { CustomerService } from "./gen/customer/customer_pb.ts";
import { setUpInventory } from "./inventory/setup.ts";
import { setUpNotifications } from "./notifications/setup.ts";
import { setUpOrders } from "./orders/setup.ts";
import { isPortTaken } from "./processes/port-check.ts";
import { requestTally } from "./processes/request-tally.ts";
import type { ServiceSetup } from "./processes/service-setup.ts";
import { isServiceName, parsePortOffset, portOf, type ServiceName, services } from "./processes/services.ts";

const drainTimeoutMs = 10_000;
const setUps: Readonly<Record<ServiceName, (setup: ServiceSetup) => Promise<Implementation>>> = {
  "order-service": setUpOrders,
  "customer-service": async () => implement(CustomerService, customerHandlers()),
  "inventory-service": setUpInventory,
  "notification-service": setUpNotifications,
  "analytics-service": setUpAnalytics,
};

/** What tells the supervisor that waiting for a port is pointless. */
const portTakenExitCode = 98;

function refuse(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function offsetOf(text: string | undefined): number {
  try {
    return parsePortOffset(text);
  } catch (error) {
    return refuse((error as Error).message);
  }
}

const [, , name, instanceText = "1"] = process.argv;
const instance = Number(instanceText);
const service = services.find(candidate => candidate.name === name);
if (!isServiceName(name) || service === undefined) {
  refuse(`usage: serve.ts ${services.map(({ name }) => name).join(" | ")} [instance]`);
}
if (!(Number.isInteger(instance) && instance >= 1 && instance <= service.instancesMax)) {
  refuse(`${name}: expected an instance from 1 to ${service.instancesMax}, got "${instanceText}"`);
}
const offset = offsetOf(process.env.PORT_OFFSET);
const host = process.env.HOST ?? "127.0.0.1";
const setup: ServiceSetup = {
  service: name,
  offset,
  environment: process.env,
  // Disposed of by `stop`: the services outlive this module's evaluation.
  resources: new AsyncDisposableStack(),
  readiness: {},
  interceptors: [],
  asyncapi: undefined,
};
const { resources, readiness, interceptors } = setup;

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException | undefined)?.code;

// How often it is asked, for whoever wants to know what the failures around it cost.
const tallyFolder = process.env.REQUEST_TALLY;
if (tallyFolder !== undefined && tallyFolder !== "") {
  mkdirSync(tallyFolder, { recursive: true });
  interceptors.push(requestTally(tallyFolder, name, instance));
}

const port = portOf(name, offset, instance);
// Before anything is opened: whoever has the port has the service's database too.
if (await isPortTaken(host, port)) {
  process.stderr.write(`${name} cannot listen on ${host}:${port}: the port is taken\n`);
  process.exit(portTakenExitCode);
}
const implementation = await setUps[name](setup).catch(async (error: Error) => {
  process.stderr.write(`${name} cannot start: ${error.message}\n`);
  await resources.disposeAsync();
  return process.exit(error instanceof TypeError ? 2 : 1);
});
const server = createServer({ services: [implementation], interceptors, readiness, asyncapi: setup.asyncapi });
try {
  await server.listen({ port, host });
} catch (error) {
  const { message, cause } = error as Error;
  process.stderr.write(`${name} cannot listen on ${host}:${port}: ${message}\n`);
  process.exit(codeOf(error) === "EADDRINUSE" || codeOf(cause) === "EADDRINUSE" ? portTakenExitCode : 1);
}
process.stdout.write(`${name} is ready: http://${host}:${port}\n`);
process.send?.("ready");

let isStopping = false;
async function stop(): Promise<void> {
  if (isStopping) return;
  isStopping = true;
  await server.drain({ timeoutMs: drainTimeoutMs });
  await resources.disposeAsync();
  process.exit(0);
}
for (const event of ["SIGTERM", "SIGINT", "disconnect"]) process.on(event, () => void stop());
