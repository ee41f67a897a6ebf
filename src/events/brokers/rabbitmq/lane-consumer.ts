import { type Observer, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { RecordSink } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import { type AmqpChannel, type AmqpConnection, AmqpError } from "./amqp.ts";
import { backoffMs } from "./backoff.ts";
import { explainOperation } from "./connect-error.ts";
import { RabbitmqLane } from "./lane.ts";
import { connectionWaitMs } from "./limits.ts";
import type { DirectMessages, RabbitmqRecord } from "./message.ts";
import type { QueueNames } from "./names.ts";
import { tell } from "./observed.ts";
import type { SupervisedConnection } from "./supervised-connection.ts";

export interface LaneConsumerOptions {
  readonly names: QueueNames;
  readonly direct?: DirectMessages | undefined;
  readonly isOrdered: boolean;
  /** For the queue and for its retry queue, each. */
  readonly prefetch: number;
  readonly connection: SupervisedConnection;
  readonly platform: Platform;
  readonly observer: Observer;
  readonly sink: RecordSink;
  /** Makes sure of everything that is consumed; before each opening, since a broker may have lost it. */
  readonly ensure: (connection: AmqpConnection) => Promise<void>;
  readonly countCrash: (record: RabbitmqRecord) => Promise<void>;
}

/** Keeps a lane open: a channel with a consumer on a queue and one on its retry queue. */
export class LaneConsumer {
  readonly #options: LaneConsumerOptions;
  readonly #stopListening: () => void;
  #lane: RabbitmqLane | undefined;
  #channel: AmqpChannel | undefined;
  #tags: readonly string[] = [];
  #failures = 0;
  #retry: Timer | undefined;
  /** Only the last opening counts. */
  #opening = 0;
  #isStarted = false;
  #isStopped = false;

  constructor(options: LaneConsumerOptions) {
    this.#options = options;
    this.#stopListening = options.connection.listen({
      up: connection => {
        if (this.#isStarted) void this.#openOrRetry(connection);
      },
      down: error => this.#lost(error),
    });
  }

  get queue(): string {
    return this.#options.names.queue;
  }

  /** What the broker does not count as waiting, because it is here. */
  get inWork(): number {
    return this.#lane?.unsettled ?? 0;
  }

  /** @throws BrokerError when it cannot be opened, unless for want of a connection that then comes */
  async start(): Promise<void> {
    const { connection, names } = this.#options;
    for (let attempt = 0; ; attempt++) {
      const current = await connection.whenUp(connectionWaitMs);
      try {
        await this.#open(current);
        break;
      } catch (error) {
        const isConnectionLost = connection.connection !== current;
        if (!isConnectionLost || attempt === 3) {
          this.#stopListening();
          throw explainOperation(error, `the queue "${names.queue}" cannot be consumed`);
        }
      }
    }
    this.#isStarted = true;
    if (connection.connection === undefined) return; // lost meanwhile; its successor opens the lane
    if (this.#lane === undefined) await this.#openOrRetry(connection.connection);
  }

  /** No further records. */
  async stop(): Promise<void> {
    this.#isStopped = true;
    this.#retry?.cancel();
    const channel = this.#channel;
    if (channel === undefined) return;
    if (!this.#options.isOrdered) {
      // Whoever is told to stop takes nothing more. A single active consumer keeps its place until it closes: with it the
      // next one would begin, while we still work on what comes before.
      await Promise.all(this.#tags.map(tag => channel.cancel(tag))).catch(() => {});
    }
    this.#lane?.stop();
  }

  async close(): Promise<void> {
    this.#isStopped = true;
    this.#opening++;
    this.#stopListening();
    this.#retry?.cancel();
    const channel = this.#channel;
    this.#lane?.flush();
    this.#lane?.end();
    this.#lane = undefined;
    this.#channel = undefined;
    // Acknowledgements are handled before the close that follows them; what is unsettled goes back.
    await channel?.close();
  }

  async #openOrRetry(connection: AmqpConnection): Promise<void> {
    try {
      await this.#open(connection);
    } catch (error) {
      if (this.#options.connection.connection === connection) this.#retryLater(error as Error);
    }
  }

  async #open(connection: AmqpConnection): Promise<void> {
    if (this.#isStopped) return;
    const { names, sink, prefetch } = this.#options;
    const opening = ++this.#opening;
    this.#retry?.cancel();
    await this.#options.ensure(connection);
    const channel = await outsideContext(() => connection.channel(false));
    if (opening !== this.#opening || this.#isStopped) {
      await channel.close();
      return;
    }
    const lane = new RabbitmqLane({
      names,
      direct: this.#options.direct,
      isOrdered: this.#options.isOrdered,
      channel,
      platform: this.#options.platform,
      sink,
      countCrash: this.#options.countCrash,
    });
    channel.handler = {
      closed: error => {
        if (this.#lane === lane) this.#lost(error ?? new AmqpError("the channel was closed", undefined));
      },
      confirmed() {},
      returned() {},
    };
    this.#channel = channel;
    this.#lane = lane;
    sink.opened(lane);
    try {
      await channel.prefetch(prefetch);
      // Retries first: they are older than what waits in the queue.
      const retry = await channel.consume(names.retry, {}, delivery => this.#delivered(lane, names.retry, delivery));
      const main = await channel.consume(names.queue, {}, delivery => this.#delivered(lane, names.queue, delivery));
      this.#tags = [retry, main];
      this.#failures = 0;
    } catch (error) {
      if (this.#lane === lane) {
        this.#drop(lane);
        await channel.close();
      }
      throw error;
    }
  }

  #delivered(lane: RabbitmqLane, queue: string, delivery: Parameters<RabbitmqLane["delivered"]>[0] | undefined): void {
    if (delivery !== undefined) {
      lane.delivered(delivery, queue);
      return;
    }
    if (this.#lane !== lane) return;
    const channel = this.#channel;
    this.#lost(new BrokerError(`RabbitMQ: the queue "${queue}" was deleted, or its node has gone`));
    void channel?.close();
  }

  /** The lane is gone; what it held comes again on the next. */
  #lost(error: Error): void {
    const lane = this.#lane;
    if (lane === undefined) return;
    this.#drop(lane);
    const { connection, platform } = this.#options;
    const current = connection.connection;
    // The end of a connection is told of its channels first.
    outsideContext(() =>
      platform.clock.endOfTurn(() => {
        if (current !== undefined && connection.connection === current) this.#retryLater(error);
      }),
    );
  }

  #drop(lane: RabbitmqLane): void {
    lane.end();
    this.#lane = undefined;
    this.#channel = undefined;
    this.#tags = [];
    this.#options.sink.lost(lane);
  }

  #retryLater(error: Error): void {
    const { connection, names, observer, platform } = this.#options;
    if (this.#isStopped) return;
    const waitMs = backoffMs(this.#failures++, platform.random);
    tell(observer, { type: "rabbitmq.consumer_lost", queue: names.queue, error, waitMs });
    this.#retry?.cancel();
    this.#retry = outsideContext(() =>
      platform.clock.after(waitMs, () => {
        if (connection.connection !== undefined) void this.#openOrRetry(connection.connection);
      }),
    );
  }
}
