import type { DatabaseSync } from "node:sqlite";
import type { Handlers } from "trunkline";
import { type EventHandler, type Inbox, on } from "trunkline/events";
import { orderIdOf } from "../events/order-id.ts";
import type { AnalyticsService } from "../gen/analytics/analytics_pb.ts";
import { OrderConfirmedSchema, OrderCreatedSchema, OrderRejectedSchema } from "../gen/order/events_pb.ts";
import type { AnalyticsStore } from "./analytics-store.ts";

export function analyticsHandlers(store: AnalyticsStore): Handlers<typeof AnalyticsService> {
  return { getSummary: () => store.summary() };
}

/** Counts orders. The sequence does not matter: a confirmation may come before its order. */
export function analyticsEvents(store: AnalyticsStore, once: Inbox<DatabaseSync>): readonly EventHandler[] {
  return [
    on(OrderCreatedSchema, (event, delivery) =>
      once.run(delivery, () => {
        store.count(orderIdOf(event), "created", event.total);
      }),
    ),
    on(OrderConfirmedSchema, (event, delivery) =>
      once.run(delivery, () => store.count(event.orderId, "confirmed", event.total)),
    ),
    on(OrderRejectedSchema, (event, delivery) =>
      once.run(delivery, () => store.count(event.orderId, "rejected", event.total)),
    ),
  ];
}
