import type { DatabaseSync } from "node:sqlite";
import { type Handlers, RpcError } from "trunkline";
import { type EventHandler, type Inbox, type Outbox, on } from "trunkline/events";
import { orderIdOf } from "../events/order-id.ts";
import { timestamp } from "../events/timestamp.ts";
import { type InventoryService, InventoryUpdatedSchema } from "../gen/inventory/inventory_pb.ts";
import { OrderCancelledSchema, OrderCreatedSchema } from "../gen/order/events_pb.ts";
import type { InventoryStore } from "./inventory-store.ts";

export function inventoryHandlers(store: InventoryStore): Handlers<typeof InventoryService> {
  return {
    getStock({ productId }) {
      const level = store.level(productId);
      if (level === undefined) throw new RpcError("not_found", `product "${productId}" does not exist`);
      return level;
    },
    listStock: () => ({ levels: store.levels() }),
  };
}

export interface InventoryEvents {
  readonly store: InventoryStore;
  readonly once: Inbox<DatabaseSync>;
  readonly outbox: Outbox<DatabaseSync, undefined>;
}

/**
 * What inventory-service does when orders come and go. The decision, the note that it was made, and the event that tells of
 * it are one transaction.
 */
export function inventoryEvents({ store, once, outbox }: InventoryEvents): readonly EventHandler[] {
  return [
    on(OrderCreatedSchema, (event, delivery) =>
      once.run(delivery, tx => {
        const orderId = orderIdOf(event);
        const outcome = store.reserve(orderId, event.items);
        if (outcome === undefined) return;
        outbox.publish(tx, InventoryUpdatedSchema, {
          eventType: "INVENTORY_UPDATED",
          orderId,
          reserved: outcome.reserved,
          reason: outcome.reason,
          levels: [...outcome.levels],
          timestamp: timestamp(),
        });
      }),
    ),
    on(OrderCancelledSchema, (event, delivery) => once.run(delivery, () => store.release(event.orderId))),
  ];
}
