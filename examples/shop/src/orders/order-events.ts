import type { DatabaseSync } from "node:sqlite";
import { type EventHandler, type Inbox, type Outbox, on } from "trunkline/events";
import { timestamp } from "../events/timestamp.ts";
import { InventoryUpdatedSchema } from "../gen/inventory/inventory_pb.ts";
import {
  OrderCancelledSchema,
  OrderConfirmedSchema,
  OrderCreatedSchema,
  OrderRejectedSchema,
} from "../gen/order/events_pb.ts";
import type { OrderRecord, OrderStore } from "./order-store.ts";

/** The events of order-service. */
export const published = [OrderCreatedSchema, OrderConfirmedSchema, OrderRejectedSchema, OrderCancelledSchema] as const;

/** What the others hear of. */
export type OrderChange = "created" | "confirmed" | "rejected" | "cancelled";

/** Tells of a change in the transaction that makes it. */
export type Announce = (tx: DatabaseSync, order: OrderRecord, change: OrderChange, reason: string) => void;

const later = {
  confirmed: { schema: OrderConfirmedSchema, eventType: "ORDER_CONFIRMED" },
  rejected: { schema: OrderRejectedSchema, eventType: "ORDER_REJECTED" },
  cancelled: { schema: OrderCancelledSchema, eventType: "ORDER_CANCELLED" },
} as const;

/** Announces changes through an outbox: they are told of when they are committed, and never otherwise. */
export function announceThrough(outbox: Outbox<DatabaseSync, undefined>): Announce {
  return (tx, { id, customerId, total, items, createdAt }, change, reason) => {
    if (change === "created") {
      outbox.publish(tx, OrderCreatedSchema, {
        eventType: "ORDER_CREATED",
        orderId: id,
        customerId,
        total,
        timestamp: timestamp(Number(createdAt)),
        items: [...items],
      });
    } else {
      const { schema, eventType } = later[change];
      outbox.publish(tx, schema, { eventType, orderId: id, customerId, total, reason, timestamp: timestamp() });
    }
  };
}

/** What order-service does when it hears of its orders' goods. An order that is not known is somebody else's. */
export function orderEvents(store: OrderStore, once: Inbox<DatabaseSync>): readonly EventHandler[] {
  return [
    on(InventoryUpdatedSchema, async ({ orderId, reserved, reason }, delivery) => {
      const changed = await once.run(delivery, () => store.settle(orderId, reserved, reason));
      if (changed !== undefined) store.tell(changed);
    }),
  ];
}
