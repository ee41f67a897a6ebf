import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { DescMessage } from "@bufbuild/protobuf";
import type { Interceptor, ReadinessCheck, ServerAsyncApiOptions } from "trunkline";
import { type EventHandler, type Inbox, inbox, type Outbox, outbox, type SubscribeOptions } from "trunkline/events";
import { connectShopBroker, eventObserver, eventsUrl } from "../events/broker.ts";
import { openDatabase } from "./database.ts";
import type { ServiceName } from "./services.ts";
import { stateFolder } from "./state.ts";

/** What every service is set up from, and where it leaves what has to be closed, in the reverse order. */
export interface ServiceSetup {
  readonly service: ServiceName;
  readonly offset: number;
  readonly environment: NodeJS.ProcessEnv;
  readonly resources: AsyncDisposableStack;
  /** What `/readyz` asks. */
  readonly readiness: Record<string, ReadinessCheck>;
  readonly interceptors: Interceptor[];
  /** What `/asyncapi.json` shows; `undefined` for a service without events. */
  asyncapi: ServerAsyncApiOptions | undefined;
}

/** A service's database, with its connection to the events of the others. */
export interface ServiceEvents {
  readonly database: DatabaseSync;
  readonly outbox: Outbox<DatabaseSync, undefined>;
  /** The inbox of a group of the service. */
  readonly inboxOf: (group: string) => Promise<Inbox<DatabaseSync>>;
  readonly subscribe: (options: SubscribeOptions, handlers: readonly EventHandler[]) => Promise<void>;
}

/**
 * Opens the database `<name>.db` and connects to the broker.
 * @param publishes the events that the service tells others of
 * @throws BrokerError when the broker cannot be reached: the supervisor starts the service again a little later
 */
export async function setUpEvents(
  setup: ServiceSetup,
  name: string,
  publishes: readonly DescMessage[] = [],
): Promise<ServiceEvents> {
  const { service, offset, environment, resources, readiness } = setup;
  const database = openDatabase(join(stateFolder(offset), `${name}.db`));
  resources.defer(() => database.close());
  const url = eventsUrl(environment["EVENTS_URL"], offset);
  const broker = resources.use(await connectShopBroker(service, url));
  setup.asyncapi = { broker, publishes, servers: { events: url } };
  readiness["events"] = () => {
    const { isReady, detail } = broker.status();
    if (!isReady) throw new Error(detail);
    return broker.name;
  };
  const made = resources.use(await outbox({ database, broker, observer: eventObserver }));
  return {
    database,
    outbox: made,
    inboxOf: group => inbox({ database, group }),
    async subscribe(options, handlers) {
      // One process has each group: on Kafka, one that starts again is the same member, and waits for no session to end.
      const kafka = { staticMemberId: service, ...options.kafka };
      resources.use(await broker.subscribe({ ...options, kafka }, ...handlers));
    },
  };
}
