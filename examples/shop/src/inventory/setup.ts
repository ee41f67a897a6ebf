import { type Implementation, implement } from "trunkline";
import { InventoryService, InventoryUpdatedSchema } from "../gen/inventory/inventory_pb.ts";
import { type ServiceSetup, setUpEvents } from "../processes/service-setup.ts";
import { inventoryEvents, inventoryHandlers } from "./inventory-service.ts";
import { InventoryStore } from "./inventory-store.ts";

const group = "order-processor";

export async function setUpInventory(setup: ServiceSetup): Promise<Implementation> {
  const { database, outbox, inboxOf, subscribe } = await setUpEvents(setup, "inventory", [InventoryUpdatedSchema]);
  const store = new InventoryStore(database);
  setup.readiness["database"] = () => `${store.levels().length} products`;
  await subscribe(
    // As the guide declares it, so that its consumer can run beside this one, or be there first.
    { group, rabbitmq: { queue: "order_processing", bindings: ["order.*"], queueType: "classic" } },
    inventoryEvents({ store, outbox, once: await inboxOf(group) }),
  );
  return implement(InventoryService, inventoryHandlers(store));
}
