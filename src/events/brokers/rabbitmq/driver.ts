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
import { BrokerError, PublishError } from "../../errors.ts";
import type { EventRecord, StoredRecord } from "../../record.ts";
import type { RabbitmqAddress } from "./address.ts";
import { type AmqpClient, type AmqpConnection, AmqpError, type AmqpMessage } from "./amqp.ts";
import { explainOperation } from "./connect-error.ts";
import { RabbitmqDeadLetters } from "./dead-letters.ts";
import { Declarations, refuseFewerPartitions } from "./declarations.ts";
import { dueTopic, Ladder, ladderDelayMsMax, stepsOf } from "./ladder.ts";
import { LaneConsumer } from "./lane-consumer.ts";
import { bodyBytesMax, connectionWaitMs, pendingBytesMax } from "./limits.ts";
import { messageOf, whyNotSendable } from "./message.ts";
import { checkName, ownHeader, queueNames } from "./names.ts";
import { tell } from "./observed.ts";
import { Publisher } from "./publisher.ts";
import { type GroupEntry, GroupRegistry } from "./registry.ts";
import { RabbitmqReplies } from "./replies.ts";
import { wishOf } from "./subscribe-options.ts";
import { RabbitmqSubscription, retryOf } from "./subscription.ts";
import { SupervisedConnection } from "./supervised-connection.ts";
import { tail } from "./tail.ts";
import { majorOf, onChannel, requireVersion } from "./topology.ts";

/**
 * RabbitMQ behind the port of brokers. Two connections: one publishes, and is the one that the broker stops reading from when
 * it is short of memory; the other consumes, so that acknowledgements still reach the broker then.
 */
export class RabbitmqDriver implements BrokerDriver {
  readonly name = "rabbitmq";
  readonly capabilities: BrokerCapabilities;
  readonly deadLetters: RabbitmqDeadLetters;
  readonly replies: RabbitmqReplies;
  readonly #address: RabbitmqAddress;
  readonly #client: AmqpClient;
  readonly #context: DriverContext;
  readonly #publishing: SupervisedConnection;
  readonly #consuming: SupervisedConnection;
  readonly #publisher: Publisher;
  readonly #ladder: Ladder;
  readonly #registry: GroupRegistry;
  readonly #subscriptions = new Set<RabbitmqSubscription>();
  readonly #declarations: Declarations;
  #consumingStart: Promise<void> | undefined;

  /** @throws BrokerError when no host can be reached, or none that will do */
  static async connect(address: RabbitmqAddress, client: AmqpClient, context: DriverContext): Promise<RabbitmqDriver> {
    const publishing = supervised("publisher", address, client, context);
    await publishing.start();
    const version = publishing.connection?.version ?? "0";
    try {
      requireVersion(version);
    } catch (error) {
      await publishing.close();
      throw error;
    }
    return new RabbitmqDriver(address, client, context, publishing, version);
  }

  private constructor(
    address: RabbitmqAddress,
    client: AmqpClient,
    context: DriverContext,
    publishing: SupervisedConnection,
    version: string,
  ) {
    const { observer, options, platform } = context;
    this.#address = address;
    this.#client = client;
    this.#context = context;
    this.#publishing = publishing;
    this.#consuming = supervised("consumer", address, client, context);
    this.#ladder = new Ladder(address.prefix);
    this.capabilities = {
      delay: "ladder",
      replay: false,
      transactions: false,
      requests: true,
      order: "none",
      bodyBytesMax: majorOf(version) >= 4 ? bodyBytesMax.since4 : bodyBytesMax.before4,
    };
    this.#declarations = new Declarations({
      publishing,
      ladder: this.#ladder,
      mayCreateTopics: options.createTopics !== false,
      observer,
      openAside: () => this.#openAside(),
    });
    this.#publisher = new Publisher({
      connection: publishing,
      platform,
      observer,
      timeoutMs: address.publishTimeoutMs,
      pendingBytesMax: options.gather?.pendingBytesMax ?? pendingBytesMax,
      restore: connection => this.#declarations.restore(connection),
    });
    this.#registry = new GroupRegistry(address.prefix, (exchange, body) =>
      this.#send({
        exchange,
        routingKey: "",
        body,
        isMandatory: true,
        properties: { contentType: "application/json" },
      }),
    );
    this.replies = new RabbitmqReplies({
      prefix: address.prefix,
      connection: this.#consuming,
      whenUp: () => this.#consumer(),
      send: async message => (await this.#publisher.send([message]))[0],
      platform,
      observer,
    });
    this.deadLetters = new RabbitmqDeadLetters({
      connection: () => this.#consumer(),
      groups: connection => this.#registry.entries(connection),
      send: message => this.#send(message),
      dueExchange: this.#ladder.due,
      ids: context.ids,
      clock: platform.clock,
    });
  }

  async publish(records: readonly EventRecord[]): Promise<readonly (PublishFailure | undefined)[]> {
    const outcomes: (PublishFailure | undefined)[] = new Array(records.length).fill(undefined);
    const messages: AmqpMessage[] = [];
    const places: number[] = [];
    const nowMs = this.#context.platform.clock.wall();
    for (let index = 0; index < records.length; index++) {
      const record = records[index] as EventRecord;
      const why = whyNotSendable(record, this.capabilities.bodyBytesMax);
      if (why !== undefined) {
        outcomes[index] = refusal(`the event ${record.id} cannot be published: ${why}`, false);
        continue;
      }
      const delayMs = (record.notBeforeMs ?? 0) - nowMs;
      if (delayMs > 0) {
        const scheduled = await this.#scheduled(record, delayMs);
        if ("isRetryable" in scheduled) {
          outcomes[index] = scheduled;
          continue;
        }
        messages.push(scheduled);
      } else {
        // Whoever asks waits for somebody.
        messages.push(messageOf(record, this.#address.isMandatory || record.replyTo !== undefined));
      }
      places.push(index);
    }
    const sent = await this.#publisher.send(messages);
    for (let index = 0; index < sent.length; index++) outcomes[places[index] as number] = sent[index];
    return outcomes;
  }

  prepare(topics: readonly string[]): Promise<void> {
    for (const topic of topics) checkName(topic, "topic");
    return this.#declarations.prepare(topics);
  }

  async subscribe(demand: SubscriptionDemand, sink: RecordSink): Promise<DriverSubscription> {
    const { ids, observer, platform } = this.#context;
    const wish = wishOf(demand);
    for (const message of wish.warnings) tell(observer, { type: "rabbitmq.warning", message });
    const queues =
      wish.partitions === undefined
        ? [queueNames(wish.queue)]
        : Array.from({ length: wish.partitions }, (_, index) => queueNames(wish.queue, index));
    const connection = await this.#consumer();
    if (wish.partitions !== undefined) {
      await refuseFewerPartitions(connection, demand.group, wish.queue, wish.partitions);
    }
    const consumers = queues.map(
      names =>
        new LaneConsumer({
          names,
          direct: { topic: only(demand.topics), type: only(demand.types) },
          isOrdered: wish.isOrdered,
          prefetch: wish.prefetch,
          connection: this.#consuming,
          platform,
          observer,
          sink,
          ensure: current => this.#declarations.ensureQueues(current, demand, wish, names),
          countCrash: async record => {
            const { history } = record; // has the attempt already
            await this.#send(await retryOf(record, 0, history, levels => this.#declarations.delayExchange(levels)));
          },
        }),
    );
    const subscription = new RabbitmqSubscription({
      group: demand.group,
      consumers,
      platform,
      ids,
      send: message => this.#send(message),
      delayExchange: levels => this.#declarations.delayExchange(levels),
      closed: closed => this.#subscriptions.delete(closed),
    });
    try {
      for (const consumer of consumers) await consumer.start();
    } catch (error) {
      await subscription.close();
      throw error;
    }
    this.#subscriptions.add(subscription);
    await this.#register({ group: demand.group, topics: demand.topics, queues });
    return subscription;
  }

  /** Those in work are counted where they are in work here: the broker does not show how many are out. */
  async groups(): Promise<readonly GroupStatus[]> {
    const connection = await this.#consumer();
    const statuses: GroupStatus[] = [];
    for (const { group, queues, topics } of await this.#registry.entries(connection)) {
      for (const { queue, retry } of queues) {
        const main = await figuresOf(connection, queue);
        if (main === undefined) continue;
        const again = await figuresOf(connection, retry);
        statuses.push({
          group,
          topic: topics.join(","),
          lane: queue,
          lag: main.messages + (again?.messages ?? 0) + this.#inWork(queue),
          oldestAgeMs: undefined,
          consumers: main.consumers,
        });
      }
    }
    return statuses;
  }

  #inWork(queue: string): number {
    let sum = 0;
    for (const subscription of this.#subscriptions) sum += subscription.inWork(queue);
    return sum;
  }

  tail(topics: readonly string[], from: "beginning" | "now", signal: AbortSignal): AsyncIterable<StoredRecord> {
    if (from === "beginning") {
      throw new BrokerError('RabbitMQ: what was published before is not kept; tail from "now"');
    }
    return this.#tail(topics, signal);
  }

  async *#tail(topics: readonly string[], signal: AbortSignal): AsyncGenerator<StoredRecord> {
    await this.#consumer();
    yield* tail(this.#consuming, topics, signal);
  }

  status(): { readonly isReady: boolean; readonly detail: string } {
    const consuming = this.#consumingStart === undefined ? undefined : this.#consuming.trouble;
    const trouble = this.#publishing.trouble ?? consuming;
    return { isReady: trouble === undefined, detail: trouble ?? "connected" };
  }

  async close(): Promise<void> {
    for (const subscription of [...this.#subscriptions]) await subscription.close();
    await this.replies.close();
    await this.deadLetters.close();
    await this.#publisher.close();
    await Promise.all([this.#publishing.close(), this.#consuming.close()]);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close();
  }

  /** The consuming connection, made when somebody needs it. */
  async #consumer(): Promise<AmqpConnection> {
    this.#consumingStart ??= this.#consuming.start().catch(error => {
      this.#consumingStart = undefined;
      throw error;
    });
    await this.#consumingStart;
    return this.#consuming.whenUp(connectionWaitMs);
  }

  /** @throws PublishError */
  async #send(message: AmqpMessage): Promise<void> {
    const [failure] = await this.#publisher.send([message]);
    if (failure !== undefined) throw failure.error;
  }

  async #scheduled(record: EventRecord, delayMs: number): Promise<AmqpMessage | PublishFailure> {
    if (delayMs > ladderDelayMsMax) {
      return refusal(`the event ${record.id} is scheduled for more than ${ladderDelayMsMax} ms from now`, false);
    }
    try {
      const { levels, headers } = stepsOf(delayMs);
      const exchange = await this.#declarations.delayExchange(levels);
      await this.#declarations.scheduling(record.topic);
      const message = messageOf(record, true);
      const added = { ...headers, [ownHeader.due]: dueTopic(record.topic), [ownHeader.topic]: record.topic };
      const properties = { ...message.properties, headers: { ...message.properties.headers, ...added } };
      return { ...message, exchange, properties };
    } catch (error) {
      const explained = explainOperation(error, `the event ${record.id} cannot be scheduled`);
      return { isRetryable: !(error instanceof AmqpError), error: explained };
    }
  }

  /** For those who look at the broker from outside; consuming does not depend on it. */
  async #register(entry: GroupEntry): Promise<void> {
    try {
      await this.#declarations.inTurn(async () => this.#registry.add(await this.#consumer(), entry));
    } catch (error) {
      const message = `the group "${entry.group}" cannot be listed by others: ${(error as Error).message}`;
      tell(this.#context.observer, { type: "rabbitmq.warning", message });
    }
  }

  async #openAside(): Promise<AmqpConnection> {
    const connection = supervised("declare", this.#address, this.#client, this.#context);
    await connection.start();
    const open = await connection.whenUp(connectionWaitMs);
    open.handler = { closed() {}, blocked() {}, unblocked() {} };
    return open;
  }
}

function supervised(
  name: string,
  address: RabbitmqAddress,
  client: AmqpClient,
  { observer, platform }: DriverContext,
): SupervisedConnection {
  return new SupervisedConnection({ name, client, endpoints: address.endpoints, platform, observer });
}

async function figuresOf(connection: AmqpConnection, queue: string) {
  try {
    return await onChannel(connection, channel => channel.findQueue(queue));
  } catch (error) {
    if (error instanceof AmqpError && error.code === 404) return undefined;
    throw explainOperation(error, `the queue "${queue}"`);
  }
}

/** Of a list that has one. */
function only(list: readonly string[]): string | undefined {
  return list.length === 1 ? list[0] : undefined;
}

function refusal(text: string, isRetryable: boolean): PublishFailure {
  return { isRetryable, error: new PublishError(`RabbitMQ: ${text}`, isRetryable) };
}
