/**
 * One service of the shop in a process of its own: `node serve.ts order-service`, or its second instance with `2` behind. Stops on SIGTERM and SIGINT after the
 * calls under way, and when the supervisor that started it is gone.
 */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import {
  createChannel,
  createClient,
  createServer,
  type Implementation,
  type Interceptor,
  idempotency,
  implement,
  type ReadinessCheck,
} from "trunkline";
import { customerHandlers } from "./customers/customer-service.ts";
import { CustomerService } from "./gen/customer/customer_pb.ts";
import { OrderService } from "./gen/order/order_pb.ts";
import { orderHandlers } from "./orders/order-service.ts";
import { OrderStore } from "./orders/order-store.ts";
import { openRequestKeys } from "./orders/request-keys.ts";
import { customerTarget } from "./processes/discovery.ts";
import { requestTally } from "./processes/request-tally.ts";
import { isServiceName, parsePortOffset, portOf, type ServiceName, services } from "./processes/services.ts";
import { stateFolder } from "./processes/state.ts";

const drainTimeoutMs = 10_000;
/**
 * How long the key of a request stays taken when the service is killed in the middle of it. Orders are stored in an instant, and
 * a request that is run again finds its order: short is harmless here.
 */
const keyLeaseMs = 5_000;
/** What tells the supervisor that waiting for a port is pointless. */
const portTakenExitCode = 98;

function refuse(message: string): never {
  process.stderr.write(`${message}\n`);
  process.exit(2);
}

function settings() {
  try {
    const offset = parsePortOffset(process.env.PORT_OFFSET);
    // Asks nobody before the first call; a target that cannot be is said now.
    return { offset, customers: createChannel(customerTarget(process.env, offset)) };
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
const { offset, customers: customerChannel } = settings();
const host = process.env.HOST ?? "127.0.0.1";
// Disposed of by `stop`: the services outlive this module's evaluation.
const resources = new AsyncDisposableStack();

/** What `/readyz` asks. */
const readiness: Record<string, ReadinessCheck> = {};
const interceptors: Interceptor[] = [];

function implementationOf(service: ServiceName): Implementation {
  switch (service) {
    case "order-service": {
      const store = resources.use(new OrderStore(join(stateFolder(offset), "orders.db")));
      const keys = resources.use(openRequestKeys(join(stateFolder(offset), "request-keys.db")));
      interceptors.push(idempotency({ store: keys.store, leaseMs: keyLeaseMs }));
      readiness["database"] = () => `${store.count()} orders`;
      const customers = createClient(CustomerService, resources.use(customerChannel));
      return implement(OrderService, orderHandlers({ store, customers }));
    }
    case "customer-service":
      return implement(CustomerService, customerHandlers());
  }
}

const codeOf = (error: unknown): unknown => (error as NodeJS.ErrnoException | undefined)?.code;

// How often it is asked, for whoever wants to know what the failures around it cost.
const tallyFolder = process.env.REQUEST_TALLY;
if (tallyFolder !== undefined && tallyFolder !== "") {
  mkdirSync(tallyFolder, { recursive: true });
  interceptors.push(requestTally(tallyFolder, name, instance));
}

const server = createServer({ services: [implementationOf(name)], interceptors, readiness });
const port = portOf(name, offset, instance);
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
