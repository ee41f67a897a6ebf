import { type Implementation, implement } from "trunkline";
import { NotificationService } from "../gen/notification/notification_pb.ts";
import { type ServiceSetup, setUpEvents } from "../processes/service-setup.ts";
import { notificationEvents, notificationHandlers } from "./notification-service.ts";
import { NotificationStore } from "./notification-store.ts";

const group = "notification";

export async function setUpNotifications(setup: ServiceSetup): Promise<Implementation> {
  const { database, inboxOf, subscribe } = await setUpEvents(setup, "notifications");
  const store = new NotificationStore(database);
  setup.readiness["database"] = () => `${store.list("", 1).length === 0 ? "no" : "some"} notifications`;
  await subscribe({ group }, notificationEvents(store, await inboxOf(group)));
  return implement(NotificationService, notificationHandlers(store));
}
