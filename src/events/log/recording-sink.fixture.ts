import { type Platform, silentObserver } from "../../platform/index.ts";
import type {
  BrokerDriver,
  DriverContext,
  DriverSubscription,
  Lane,
  RecordSink,
  SubscriptionDemand,
} from "../driver.ts";
import { EventIds } from "../event-id.ts";
import type { EventRecord } from "../record.ts";
import type { LogLane } from "./lane.ts";
import type { LogRecord } from "./log-record.ts";

/** A consumer runtime that does nothing by itself: it writes down what it is given. */
export class RecordingSink implements RecordSink {
  readonly lanes = new Set<LogLane>();
  readonly records_: LogRecord[] = [];
  readonly revoked: string[] = [];
  readonly lostLanes: string[] = [];
  readonly failures: Error[] = [];
  /** What becomes of records when they come. */
  onRecord: (record: LogRecord, lane: LogLane) => void = () => {};
  /** Runs while a lane is being taken away. */
  onRevoke: (lane: LogLane) => Promise<void> = async () => {};

  opened(lane: Lane): void {
    this.lanes.add(lane as LogLane);
  }
  records(lane: Lane, records: readonly LogRecord[] | readonly unknown[]): void {
    for (const record of records as readonly LogRecord[]) {
      this.records_.push(record);
      this.onRecord(record, lane as LogLane);
    }
  }
  async revoke(lane: Lane): Promise<void> {
    this.revoked.push(lane.name);
    await this.onRevoke(lane as LogLane);
    this.lanes.delete(lane as LogLane);
  }
  lost(lane: Lane): void {
    this.lostLanes.push(lane.name);
    this.lanes.delete(lane as LogLane);
  }
  failed(error: Error): void {
    this.failures.push(error);
  }

  /** Settles everything from now on as soon as it comes. */
  settleAll(): this {
    this.onRecord = (record, lane) => lane.settle(record);
    return this;
  }

  bodies(): string[] {
    return this.records_.map(({ body }) => Buffer.from(body).toString());
  }

  settle(record: LogRecord): void {
    (record.lane as LogLane).settle(record);
  }
}

export function driverContext(platform: Platform, options: DriverContext["options"] = {}): DriverContext {
  return { platform, observer: silentObserver, options, ids: new EventIds(platform) };
}

export const demand = (change: Partial<SubscriptionDemand> = {}): SubscriptionDemand => ({
  group: "billing",
  topics: ["orders"],
  types: [],
  order: "key",
  concurrency: 16,
  largestBatch: 1,
  eventsAtOnce: 16,
  from: "beginning",
  specific: {},
  ...change,
});

let ids = 0;
export const eventRecord = (body: string, change: Partial<EventRecord> = {}): EventRecord => ({
  topic: "orders",
  key: "k",
  body: Buffer.from(body),
  id: `id-${++ids}`,
  source: "/test",
  type: "order.created",
  timeMs: 1_767_225_600_000,
  contentType: "application/json",
  trace: undefined,
  priority: "default",
  expiresAtMs: undefined,
  notBeforeMs: undefined,
  replyTo: undefined,
  correlationId: undefined,
  headers: {},
  ...change,
});

/** Subscribes, with a sink that records. */
export async function member(
  driver: BrokerDriver,
  change: Partial<SubscriptionDemand> = {},
): Promise<RecordingSink & { subscription: DriverSubscription }> {
  const sink = new RecordingSink();
  return Object.assign(sink, { subscription: await driver.subscribe(demand(change), sink) });
}

/** Bodies "0", "1" and so on. */
export const numbered = (count: number, change: Partial<EventRecord> = {}): readonly EventRecord[] =>
  Array.from({ length: count }, (_, index) => eventRecord(String(index), change));
