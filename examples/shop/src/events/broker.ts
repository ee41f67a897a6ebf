import { join } from "node:path";
import type { ObservedEvent, Observer } from "trunkline";
import { type Broker, connectBroker } from "trunkline/events";
import { file_inventory_inventory } from "../gen/inventory/inventory_pb.ts";
import { file_order_events } from "../gen/order/events_pb.ts";
import type { ServiceName } from "../processes/services.ts";
import { stateFolder } from "../processes/state.ts";

/** Where events go: `EVENTS_URL`, otherwise a file of the shop's own, so that nothing has to be installed. */
export function eventsUrl(text: string | undefined, offset: number): string {
  return text === undefined || text === "" ? `sqlite:${join(stateFolder(offset), "events.db")}` : text;
}

/** What people should hear of: an event that could not be handled, and what stands still. */
const told: ReadonlySet<string> = new Set([
  "events.failed",
  "events.dead_lettered",
  "events.handler.abandoned",
  "events.move.failed",
  "events.subscription.failed",
  "outbox.refused",
  "outbox.failed",
]);

const observer: Observer = {
  emit(event: ObservedEvent & { readonly error?: unknown }) {
    if (!told.has(event.type)) return;
    const { type, error, ...details } = event;
    const reason = error instanceof Error ? error.message : "";
    process.stderr.write(`${type} ${JSON.stringify(details)} ${reason}\n`);
  },
};

/** @throws BrokerError that says what is wrong with the URL, or why the broker cannot be reached */
export function connectShopBroker(service: ServiceName, url: string): Promise<Broker> {
  return connectBroker(url, {
    source: `/${service}`,
    createTopics: true,
    // Events that a service does not handle are nothing unknown.
    contracts: [file_order_events, file_inventory_inventory],
    observer,
  });
}

export { observer as eventObserver };
