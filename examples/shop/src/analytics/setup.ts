import { type Implementation, implement } from "trunkline";
import { AnalyticsService } from "../gen/analytics/analytics_pb.ts";
import { type ServiceSetup, setUpEvents } from "../processes/service-setup.ts";
import { analyticsEvents, analyticsHandlers } from "./analytics-service.ts";
import { AnalyticsStore } from "./analytics-store.ts";

const group = "analytics";

export async function setUpAnalytics(setup: ServiceSetup): Promise<Implementation> {
  const { database, inboxOf, subscribe } = await setUpEvents(setup, "analytics");
  const store = new AnalyticsStore(database);
  setup.readiness["database"] = () => `${store.summary().ordersCreated} orders counted`;
  await subscribe({ group }, analyticsEvents(store, await inboxOf(group)));
  return implement(AnalyticsService, analyticsHandlers(store));
}
