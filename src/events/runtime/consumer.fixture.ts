import type { MessageShape } from "@bufbuild/protobuf";
import type { ObservedEvent } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { type Ledger, ledger, type Placed } from "../conformance/ledger.ts";
import { type Delivery, on } from "../handler.ts";
import type { AttemptHistory, EventAttributes, StoredRecord } from "../record.ts";
import { EventCatalog } from "./catalog.ts";
import { Consumer } from "./consumer.ts";
import { FakeLane, FakeSubscription, storedRecord } from "./fake-lane.fixture.ts";
import { handlingOf } from "./handling.ts";
import type { ConsumerPlan } from "./plan.ts";

/** A consumer of `ledger.placed` on a clock that the test moves, with a lane and a broker that remember. */
export class ConsumerScene {
  readonly platform: VirtualPlatform;
  readonly ledger: Ledger = ledger("ledger");
  readonly lane = new FakeLane();
  readonly broker = new FakeSubscription();
  readonly events: ObservedEvent[] = [];
  readonly failures: Error[] = [];
  readonly consumer: Consumer;

  constructor(
    handle: (event: Placed, delivery: Delivery) => unknown,
    plan: Partial<ConsumerPlan> = {},
    { isAttached = true, seed = 1 } = {},
  ) {
    const platform = virtualPlatform({ seed });
    this.platform = platform;
    const { PlacedSchema, file } = this.ledger;
    const catalog = new EventCatalog();
    catalog.learn(file);
    const handler = on(
      PlacedSchema,
      handle as (event: MessageShape<typeof PlacedSchema>, delivery: Delivery) => unknown,
    );
    const complete: ConsumerPlan = {
      group: "bookkeeping",
      concurrency: 4,
      order: "key",
      onFailure: "park-key",
      schedule: {
        maxAttempts: 4,
        immediate: 1,
        immediateDelayMs: 10,
        initialDelayMs: 1_000,
        factor: 2,
        maxDelayMs: 60_000,
      },
      unknownTypes: "dead-letter",
      handlerTimeoutMs: 30_000,
      limits: { recordsMax: 100, bytesMax: 1_000_000, parkedMax: 50, parkedBytesMax: 500_000 },
      canRetryLater: true,
      handlings: new Map([["ledger", new Map([["ledger.placed", handlingOf(handler, undefined, [])]])]]),
      consumer: "/test",
      ...plan,
    };
    const observer = { emit: (event: ObservedEvent) => void this.events.push(event) };
    this.consumer = new Consumer(complete, catalog, platform, observer, error => this.failures.push(error));
    this.consumer.opened(this.lane);
    if (isAttached) this.consumer.attach(this.broker);
  }

  /** Delivers an event of an account, and says which record it was. */
  deliver(account: string, number: number, lane = this.lane): StoredRecord {
    const record = placedRecord(account, number);
    this.consumer.records(lane, [record]);
    return record;
  }

  seen(type: string): ObservedEvent[] {
    return this.events.filter(event => event.type === type);
  }
}

export function placedRecord(
  account: string,
  number: number,
  attributes: Partial<EventAttributes> = {},
  history?: AttemptHistory,
): StoredRecord {
  const said = { type: "ledger.placed", source: "/test", contentType: "application/json", ...attributes };
  return storedRecord("ledger", account, { account, number }, said, history);
}

/** A promise that the test settles. */
export class Later {
  readonly promise: Promise<void>;
  resolve: () => void = () => {};
  reject: (error: unknown) => void = () => {};

  constructor() {
    this.promise = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
  }
}
