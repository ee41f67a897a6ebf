import { outsideContext, type Platform } from "../../../platform/index.ts";
import type { DeadLetterStore } from "../../dead-letter.ts";
import type {
  BrokerCapabilities,
  BrokerDriver,
  DriverContext,
  DriverSubscription,
  GroupStatus,
  PublishFailure,
  RecordSink,
  SubscriptionDemand,
} from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventRecord, StoredRecord } from "../../record.ts";
import type { ParkingUnavailable } from "../../runtime/observed.ts";
import { Cluster } from "./cluster.ts";
import { ConsumerProtocolMember } from "./consumer-member.ts";
import { type FindContract, Framing } from "./framing.ts";
import { ClassicMember } from "./group-member.ts";
import { groupStatuses } from "./groups.ts";
import { DeadLetters } from "./letters.ts";
import { bodyBytesMax, commitEveryMs, firstContactMs, requestTimeoutMs } from "./limits.ts";
import type { ScanParts } from "./log-scan.ts";
import { parkedByLane } from "./parked-topic.ts";
import { pause } from "./pause.ts";
import { Producer } from "./producer.ts";
import { outgoingEvent } from "./records.ts";
import { KafkaReplies } from "./replies.ts";
import { specificOptions } from "./specific-options.ts";
import { KafkaSubscription, type SubscriptionParts } from "./subscription.ts";
import { tail } from "./tail.ts";
import {
  deadTopic,
  ensureTopics,
  parkedTopic,
  parkedTopicOf,
  plainTopic,
  removeTopic,
  retryTopicOf,
} from "./topics.ts";
import type { Address, CallError, Channel, KafkaClient } from "./wire.ts";

/** Events over Kafka. */
export class KafkaDriver implements BrokerDriver {
  readonly name = "kafka";
  readonly capabilities: BrokerCapabilities = {
    // Nothing in Kafka waits for a time; a group's own retries wait in its members.
    delay: "none",
    retryLater: true,
    replay: true,
    transactions: true,
    requests: true,
    order: "key",
    parking: true,
    bodyBytesMax,
  };
  readonly deadLetters: DeadLetterStore;
  readonly replies: KafkaReplies;
  readonly #context: DriverContext;
  readonly #platform: Platform;
  readonly #control: Channel;
  readonly #produce: Channel;
  readonly #cluster: Cluster;
  readonly #producer: Producer;
  readonly #framing: Framing | undefined;
  readonly #parts: SubscriptionParts & ScanParts;
  readonly #subscriptions = new Set<KafkaSubscription>();
  readonly #closed = new AbortController();

  constructor(client: KafkaClient, brokers: readonly Address[], context: DriverContext) {
    const { platform } = context;
    this.#context = context;
    this.#platform = platform;
    this.#control = client.channel(requestTimeoutMs);
    this.#produce = client.channel(requestTimeoutMs);
    this.#cluster = new Cluster(this.#control, brokers, platform);
    this.#producer = new Producer(client, this.#produce, this.#cluster, platform);
    const { schemaRegistry } = context.options.kafka ?? {};
    this.#framing = schemaRegistry === undefined ? undefined : new Framing(schemaRegistry, platform, context.observer);
    const scanning = { client, channel: this.#control, cluster: this.#cluster, platform };
    const letters = new DeadLetters(scanning, this.#producer, context.ids);
    this.deadLetters = letters;
    this.replies = new KafkaReplies({
      cluster: this.#cluster,
      producer: this.#producer,
      platform,
      make: async topic => {
        this.#assertOpen();
        await ensureTopics(this.#control, this.#cluster, platform.clock, [topic], true);
      },
      remove: topic => removeTopic(this.#control, this.#cluster, topic),
      tail: (topic, signal) => this.tail([topic], "beginning", signal),
    });
    this.#parts = {
      ...scanning,
      producer: this.#producer,
      framing: this.#framing,
      letters,
      commitEveryMs,
      ids: context.ids,
      consumer: context.options.source ?? "/trunkline",
      makeMember: (host, options) =>
        options.protocol === "consumer"
          ? new ConsumerProtocolMember(client, this.#cluster, platform, host, options)
          : new ClassicMember(client, this.#cluster, platform, host, options),
    };
  }

  /** Resolves when a broker has answered. @throws BrokerError */
  async reach(): Promise<void> {
    const { clock } = this.#platform;
    const untilMs = clock.now() + firstContactMs;
    for (let attempt = 1; ; attempt++) {
      try {
        await this.#cluster.refresh([]);
        return;
      } catch (error) {
        if ((error as CallError).isFinal || clock.now() > untilMs) {
          throw new BrokerError(`kafka: no broker can be reached. ${(error as Error).message}`, { cause: error });
        }
      }
      await pause(clock, this.#cluster.pauseMs(attempt));
    }
  }

  publish(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    if (this.#framing !== undefined) return this.#framing.publish(records, framed => this.#send(framed));
    return this.#send(records);
  }

  #send(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    const nowMs = Math.floor(this.#platform.clock.wall());
    return this.#producer.send(records.map(record => outgoingEvent(record, nowMs)));
  }

  async ready(record: EventRecord): Promise<void> {
    await this.#framing?.prepare(record);
  }

  knowEvents(find: FindContract): void {
    this.#framing?.knowEvents(find);
  }

  async prepare(topics: readonly string[]): Promise<void> {
    this.#assertOpen();
    await this.#ensure(topics.map(plainTopic));
  }

  async subscribe(demand: SubscriptionDemand, sink: RecordSink): Promise<DriverSubscription> {
    this.#assertOpen();
    const options = specificOptions(demand);
    const { group, topics } = demand;
    const retryTopic = retryTopicOf(group);
    await this.#ensure([...topics, retryTopic].map(plainTopic));
    await this.#ensure([deadTopic(group)]);
    const canPark = demand.isTransactional !== true && (await this.#canPark(group, demand.order === "key"));
    if (demand.isTransactional === true) await this.#refuseParked(group);
    const member = { group, topics: [...topics, retryTopic], ...options };
    return outsideContext(async () => {
      const subscription: KafkaSubscription = new KafkaSubscription(this.#parts, demand, member, canPark, sink, () =>
        this.#subscriptions.delete(subscription),
      );
      this.#subscriptions.add(subscription);
      try {
        await subscription.start();
      } catch (error) {
        await subscription.close().catch(() => {});
        throw error;
      }
      return subscription;
    });
  }

  groups(): Promise<readonly GroupStatus[]> {
    this.#assertOpen();
    return groupStatuses(this.#parts);
  }

  tail(topics: readonly string[], from: "beginning" | "now", signal: AbortSignal): AsyncIterable<StoredRecord> {
    this.#assertOpen();
    return tail(this.#parts, topics, from, AbortSignal.any([signal, this.#closed.signal]));
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    if (this.#closed.signal.aborted) return { isReady: false, detail: "kafka: closed" };
    const { failure } = this.#cluster;
    const schemas = this.#framing?.reader.failure;
    if (failure === undefined && schemas !== undefined) return { isReady: false, detail: `kafka: ${schemas}` };
    if (failure === undefined) return { isReady: true, detail: "kafka: connected" };
    return { isReady: false, detail: `kafka: ${failure.message}` };
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort();
    const ended = await Promise.allSettled([...this.#subscriptions].map(subscription => subscription.close()));
    await this.#producer.close();
    await this.replies.close();
    this.#cluster.close();
    this.#framing?.close();
    await Promise.all([this.#control.close(), this.#produce.close()]);
    const failed = ended.find(result => result.status === "rejected");
    if (failed !== undefined) throw failed.reason;
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** What comes back from a parking topic cannot be settled in a transaction. */
  async #refuseParked(group: string): Promise<void> {
    let events = 0;
    for (const count of (await parkedByLane(this.#parts, group)).values()) events += count;
    if (events === 0) return;
    throw new BrokerError(
      `kafka: group ${group} has ${events} parked events in ${parkedTopicOf(group)}; let it finish them without transactions first`,
    );
  }

  /**
   * A group goes on without a parking topic: its partitions pause when too many events are parked.
   * @param mayPark otherwise only what was parked before is looked for
   */
  async #canPark(group: string, mayPark: boolean): Promise<boolean> {
    try {
      await this.#ensure([parkedTopic(group)], mayPark);
      return true;
    } catch (error) {
      if (!(error instanceof BrokerError)) throw error;
      const event: ParkingUnavailable = { type: "events.parking.unavailable", group, error };
      if (mayPark) this.#context.observer.emit(event);
      return false;
    }
  }

  #ensure(topics: Parameters<typeof ensureTopics>[3], isWanted = true): Promise<void> {
    const mayCreate = isWanted && this.#context.options.createTopics === true;
    return ensureTopics(this.#control, this.#cluster, this.#platform.clock, topics, mayCreate);
  }

  #assertOpen(): void {
    if (this.#closed.signal.aborted) throw new BrokerError("kafka: the connection to the broker is closed");
  }
}
