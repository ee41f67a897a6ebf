import { outsideContext, type Platform } from "../../platform/index.ts";
import type { DeadLetterStore } from "../dead-letter.ts";
import type {
  BrokerCapabilities,
  BrokerDriver,
  DriverContext,
  DriverSubscription,
  GroupStatus,
  PublishFailure,
  RecordSink,
  SubscriptionDemand,
} from "../driver.ts";
import { BrokerError } from "../errors.ts";
import type { EventRecord, StoredRecord } from "../record.ts";
import { recordsPerTurnMax } from "./limits.ts";
import { LogReplies } from "./replies.ts";
import type { LogStore, LogStorePace, StoreWatcher } from "./store.ts";
import { LogSubscription } from "./subscription.ts";

/** A broker over a log store. */
export class LogDriver implements BrokerDriver {
  readonly name: string;
  readonly capabilities: BrokerCapabilities;
  readonly replies: LogReplies;
  readonly #store: LogStore;
  readonly #pace: LogStorePace;
  readonly #platform: Platform;
  readonly #context: DriverContext;
  readonly #subscriptions = new Set<LogSubscription>();
  /** Wakes the readers that belong to no group. */
  readonly #tails = new Set<() => void>();
  #isClosed = false;

  constructor(name: string, store: LogStore, pace: LogStorePace, bodyBytesMax: number, context: DriverContext) {
    this.name = name;
    this.capabilities = {
      delay: "native",
      replay: true,
      transactions: false,
      requests: true,
      order: "key",
      parking: true,
      bodyBytesMax,
    };
    this.#store = store;
    this.#pace = pace;
    this.#platform = context.platform;
    this.#context = context;
    this.replies = new LogReplies(store, context.platform, name, (...args) => this.tail(...args));
  }

  get deadLetters(): DeadLetterStore {
    return this.#store.deadLetters;
  }

  async publish(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    this.#assertOpen();
    return this.#store.append(records);
  }

  async prepare(topics: readonly string[]): Promise<void> {
    this.#assertOpen();
    await this.#store.createTopics(topics);
  }

  async subscribe(demand: SubscriptionDemand, sink: RecordSink): Promise<DriverSubscription> {
    this.#assertOpen();
    await this.#store.createTopics(demand.topics);
    const member = { group: demand.group, member: this.#context.ids.next(), topics: demand.topics };
    await this.#store.join(member, demand.from);
    return outsideContext(async () => {
      const subscription: LogSubscription = new LogSubscription(
        this.#store,
        this.#pace,
        this.#platform,
        member,
        sink,
        () => this.#subscriptions.delete(subscription),
      );
      this.#subscriptions.add(subscription);
      try {
        await subscription.start();
      } catch (error) {
        await subscription.close();
        throw error;
      }
      return subscription;
    });
  }

  groups(): Promise<readonly GroupStatus[]> {
    this.#assertOpen();
    return this.#store.groups();
  }

  async *tail(
    topics: readonly string[],
    from: "beginning" | "now",
    signal: AbortSignal,
  ): AsyncGenerator<StoredRecord, void, undefined> {
    this.#assertOpen();
    const places = topics.flatMap(topic =>
      this.#store.partitions(topic).map(({ partition, firstOffset, nextOffset }) => ({
        topic,
        partition,
        offset: from === "now" ? nextOffset : firstOffset,
      })),
    );
    const missing = topics.find(topic => this.#store.partitions(topic).length === 0);
    if (missing !== undefined) {
      throw new BrokerError(
        `${this.name}: there is no topic ${JSON.stringify(missing)}; nothing was published to it yet`,
      );
    }
    let wake = () => {};
    const wakeNow = () => wake();
    this.#tails.add(wakeNow);
    const watcher: StoreWatcher = { appended: wakeNow, regrouped() {}, held() {} };
    const unwatch = this.#store.watch(watcher);
    signal.addEventListener("abort", wakeNow);
    try {
      while (!signal.aborted && !this.#isClosed) {
        const changed = new Promise<void>(resolve => {
          wake = resolve;
        });
        let isEnd = true;
        for (const place of places) {
          const limit = Number.POSITIVE_INFINITY;
          const answer = this.#store.read({ ...place, limit, recordsMax: recordsPerTurnMax });
          place.offset = answer.nextOffset;
          if (!answer.isEnd) isEnd = false;
          for (const record of answer.records) {
            if (signal.aborted) return;
            yield record;
          }
        }
        if (isEnd) await changed;
      }
    } finally {
      signal.removeEventListener("abort", wakeNow);
      this.#tails.delete(wakeNow);
      unwatch();
    }
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    return this.#isClosed ? { isReady: false, detail: "closed" } : this.#store.status();
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    for (const wake of this.#tails) wake();
    await Promise.all([...this.#subscriptions].map(subscription => subscription.close()));
    await this.replies.close();
    await this.#store.close();
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  #assertOpen(): void {
    if (this.#isClosed) throw new BrokerError(`${this.name}: the connection to the broker is closed`);
  }
}
