import type { DatabaseSync } from "node:sqlite";
import { type Handlers, systemPlatform } from "trunkline";
import { type Delivery, type EventHandler, type Inbox, on } from "trunkline/events";
import { orderIdOf } from "../events/order-id.ts";
import type { NotificationService } from "../gen/notification/notification_pb.ts";
import {
  OrderCancelledSchema,
  OrderConfirmedSchema,
  OrderCreatedSchema,
  OrderRejectedSchema,
} from "../gen/order/events_pb.ts";
import type { NotificationStore } from "./notification-store.ts";

const pageSizeDefault = 50;

export function notificationHandlers(store: NotificationStore): Handlers<typeof NotificationService> {
  return {
    listNotifications: ({ customerId, pageSize = pageSizeDefault }) => ({
      notifications: store.list(customerId, pageSize),
    }),
  };
}

interface ToldEvent {
  readonly orderId: string;
  readonly customerId: string;
  readonly id?: string | undefined;
}

/** Tells customers what becomes of their orders. */
export function notificationEvents(store: NotificationStore, once: Inbox<DatabaseSync>): readonly EventHandler[] {
  const tell =
    <E extends ToldEvent>(textOf: (event: E, orderId: string) => string) =>
    (event: E, delivery: Delivery) =>
      once.run(delivery, () => {
        const orderId = orderIdOf(event);
        store.send({
          id: delivery.id,
          customerId: event.customerId,
          orderId,
          type: delivery.type,
          text: textOf(event, orderId),
          sentAt: BigInt(Math.floor(systemPlatform.clock.wall())),
        });
      });
  return [
    on(
      OrderCreatedSchema,
      tell((event, orderId) => `We have your order ${orderId} over ${event.total.toFixed(2)}.`),
    ),
    on(
      OrderConfirmedSchema,
      tell((_, orderId) => `Your order ${orderId} is confirmed.`),
    ),
    on(
      OrderRejectedSchema,
      tell((event, orderId) => `We cannot deliver your order ${orderId}: ${event.reason}.`),
    ),
    on(
      OrderCancelledSchema,
      tell((_, orderId) => `Your order ${orderId} is cancelled.`),
    ),
  ];
}
