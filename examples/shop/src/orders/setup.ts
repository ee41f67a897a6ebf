import { join } from "node:path";
import { createClient, type Implementation, idempotency, implement } from "trunkline";
import { CustomerService } from "../gen/customer/customer_pb.ts";
import { OrderService } from "../gen/order/order_pb.ts";
import { customerChannel } from "../processes/discovery.ts";
import { type ServiceSetup, setUpEvents } from "../processes/service-setup.ts";
import { stateFolder } from "../processes/state.ts";
import { announceThrough, orderEvents, published } from "./order-events.ts";
import { orderHandlers } from "./order-service.ts";
import { OrderStore } from "./order-store.ts";
import { openRequestKeys } from "./request-keys.ts";

/**
 * How long the key of a request stays taken when the service is killed in the middle of it. Orders are stored in an instant, and
 * a request that is run again finds its order: short is harmless here.
 */
const keyLeaseMs = 5_000;

const group = "order-inventory";

export async function setUpOrders(setup: ServiceSetup): Promise<Implementation> {
  const { offset, environment, resources, readiness, interceptors } = setup;
  const customers = createClient(CustomerService, resources.use(customerChannel(environment, offset)));
  const keys = resources.use(openRequestKeys(join(stateFolder(offset), "request-keys.db")));
  interceptors.push(idempotency({ store: keys.store, leaseMs: keyLeaseMs }));
  const { database, outbox, inboxOf, subscribe } = await setUpEvents(setup, "orders", published);
  const store = new OrderStore(database, { announce: announceThrough(outbox) });
  readiness["database"] = () => `${store.count()} orders`;
  await subscribe({ group }, orderEvents(store, await inboxOf(group)));
  return implement(OrderService, orderHandlers({ store, customers }));
}
