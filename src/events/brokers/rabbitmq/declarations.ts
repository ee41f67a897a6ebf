import type { Observer } from "../../../platform/index.ts";
import type { SubscriptionDemand } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { AmqpConnection } from "./amqp.ts";
import { explainOperation } from "./connect-error.ts";
import type { Ladder } from "./ladder.ts";
import { connectionWaitMs, ladderLevelsInAdvance } from "./limits.ts";
import { type QueueNames, queueNames } from "./names.ts";
import { tell } from "./observed.ts";
import type { SubscribeWish } from "./subscribe-options.ts";
import type { SupervisedConnection } from "./supervised-connection.ts";
import {
  ensurePartitionExchange,
  ensureQueue,
  ensureQueueByExchange,
  ensureTopics,
  exists,
  onChannel,
  partitionExchange,
} from "./topology.ts";

export interface DeclarationsOptions {
  readonly publishing: SupervisedConnection;
  readonly ladder: Ladder;
  readonly mayCreateTopics: boolean;
  readonly observer: Observer;
  /** A connection that may break. */
  readonly openAside: () => Promise<AmqpConnection>;
}

/**
 * What a driver has declared, and whether it is still known to be there. Declarations go one after the other, so that two
 * subscriptions do not make the same thing at once.
 */
export class Declarations {
  readonly #options: DeclarationsOptions;
  /** Topics that were asked for. */
  readonly #prepared = new Set<string>();
  /** Known to be there, on the present connection; what is on the next may be another broker's, or a new one's. */
  readonly #topics = new Set<string>();
  readonly #scheduledTopics = new Set<string>();
  #ladderLevels = 0;
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: DeclarationsOptions) {
    this.#options = options;
    options.publishing.listen({
      down: () => {
        this.#topics.clear();
        this.#scheduledTopics.clear();
        this.#ladderLevels = 0;
      },
    });
  }

  /** Runs behind what is being declared. */
  inTurn<T>(work: () => Promise<T>): Promise<T> {
    const turn = this.#last.then(work, work);
    this.#last = turn.catch(() => {});
    return turn;
  }

  /** @throws BrokerError */
  prepare(topics: readonly string[]): Promise<void> {
    return this.inTurn(async () => {
      const missing = topics.filter(topic => !this.#topics.has(topic));
      if (missing.length === 0) return;
      await this.#onPublishing(connection => ensureTopics(connection, missing, this.#options.mayCreateTopics));
      for (const topic of missing) {
        this.#topics.add(topic);
        this.#prepared.add(topic);
      }
    });
  }

  /** Topics on a new connection, before what is unconfirmed is sent again. Does not reject: publishing says it of each event. */
  async restore(connection: AmqpConnection): Promise<void> {
    const { mayCreateTopics, observer } = this.#options;
    const topics = [...this.#prepared].filter(topic => !this.#topics.has(topic));
    if (topics.length === 0) return;
    try {
      await ensureTopics(connection, topics, mayCreateTopics);
      for (const topic of topics) this.#topics.add(topic);
    } catch (error) {
      tell(observer, { type: "rabbitmq.warning", message: (error as Error).message });
    }
  }

  /**
   * The exchange where a delay of so many levels begins.
   * @throws BrokerError
   */
  async delayExchange(levels: number): Promise<string> {
    if (levels > this.#ladderLevels) {
      await this.inTurn(() => this.#onPublishing(connection => this.#ensureLadder(connection, levels)));
    }
    const { ladder } = this.#options;
    return levels === 0 ? ladder.due : ladder.level(levels - 1);
  }

  /** Lets scheduled events of a topic reach it. */
  scheduling(topic: string): Promise<void> {
    return this.inTurn(async () => {
      if (this.#scheduledTopics.has(topic)) return;
      await this.#onPublishing(connection =>
        onChannel(connection, channel => this.#options.ladder.bindTopic(channel, topic)),
      );
      this.#scheduledTopics.add(topic);
    });
  }

  /**
   * Everything that a lane stands on, from the topics to its bindings.
   * @throws BrokerError
   */
  ensureQueues(
    connection: AmqpConnection,
    demand: SubscriptionDemand,
    wish: SubscribeWish,
    names: QueueNames,
  ): Promise<void> {
    const { ladder, mayCreateTopics, openAside } = this.#options;
    return this.inTurn(async () => {
      await ensureTopics(connection, demand.topics, mayCreateTopics);
      await ensureQueueByExchange(connection, names.dead);
      const { isSingleActive, queueType: type } = wish;
      await ensureQueue(connection, names.queue, { type, isSingleActive, dead: names.dead });
      await ensureQueue(connection, names.retry, { type: "quorum", isSingleActive, dead: names.dead });
      await this.#ensureLadder(connection, ladderLevelsInAdvance);
      const source = wish.partitions === undefined ? undefined : partitionExchange(wish.queue);
      if (source !== undefined) await ensurePartitionExchange(connection, wish.queue, openAside);
      try {
        await onChannel(connection, async channel => {
          await ladder.bindQueue(channel, names.retry);
          // The routing key of a binding to a consistent hash is a weight.
          if (source !== undefined) await channel.bindQueue(names.queue, source, "1");
          for (const topic of demand.topics) {
            for (const binding of wish.bindings) {
              if (source === undefined) await channel.bindQueue(names.queue, topic, binding);
              else await channel.bindExchange(source, topic, binding);
            }
          }
        });
      } catch (error) {
        throw explainOperation(error, `the queue "${names.queue}" cannot be bound`);
      }
    });
  }

  /** Declarations can be repeated: a cut connection is no reason to refuse what waits for them. */
  #onPublishing<T>(work: (connection: AmqpConnection) => Promise<T>): Promise<T> {
    return this.#options.publishing.use(connectionWaitMs, work);
  }

  async #ensureLadder(connection: AmqpConnection, levels: number): Promise<void> {
    if (levels <= this.#ladderLevels) return;
    const upTo = Math.max(levels, ladderLevelsInAdvance);
    await onChannel(connection, channel => this.#options.ladder.declare(channel, upTo));
    this.#ladderLevels = Math.max(this.#ladderLevels, upTo);
  }
}

/** @throws BrokerError when the group has more partitions than are asked for: nobody would consume those beyond */
export async function refuseFewerPartitions(
  connection: AmqpConnection,
  group: string,
  base: string,
  count: number,
): Promise<void> {
  const { queue: beyond } = queueNames(base, count);
  if (!(await exists(connection, channel => channel.findQueue(beyond)))) return;
  throw new BrokerError(
    `RabbitMQ: the group "${group}" asks for ${count} partitions and has more, for example "${beyond}": events in those ` +
      "would not be consumed; ask for as many as there are, or delete the queues beyond when they are empty",
  );
}
