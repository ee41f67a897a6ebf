import { type Observer, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { PublishFailure, ReplyPort } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import type { EventRecord, StoredRecord } from "../../record.ts";
import { type AmqpChannel, type AmqpConnection, AmqpError, type AmqpMessage } from "./amqp.ts";
import { backoffMs } from "./backoff.ts";
import { explainOperation } from "./connect-error.ts";
import { replyQueueMax } from "./limits.ts";
import { messageOf, RabbitmqRecord } from "./message.ts";
import { tell } from "./observed.ts";
import type { SupervisedConnection } from "./supervised-connection.ts";

export interface RepliesOptions {
  /** First part of the queue's name. */
  readonly prefix: string;
  readonly connection: SupervisedConnection;
  /** The same connection, once it is there. */
  readonly whenUp: () => Promise<AmqpConnection>;
  /** Publishes with a confirm. */
  readonly send: (message: AmqpMessage) => Promise<PublishFailure | undefined>;
  readonly platform: Platform;
  readonly observer: Observer;
}

/**
 * Replies as AMQP programs know them: an exclusive queue for each connection that asks, written to by the default exchange
 * under its own name (`reply_to`), read without acknowledgements.
 *
 * The queue goes with its connection. After a reconnect it is made again under the same name, so that requests which were
 * pending still get their replies: those of our own responders, who try again for some seconds while it is missing.
 */
export class RabbitmqReplies implements ReplyPort {
  readonly #options: RepliesOptions;
  readonly #ownAddress: RegExp;
  #queue: string | undefined;
  #receive: (record: StoredRecord) => void = () => {};
  #channel: AmqpChannel | undefined;
  #stopListening: (() => void) | undefined;
  #failures = 0;
  #retry: Timer | undefined;
  /** Only the last opening counts. */
  #opening = 0;
  #isClosed = false;

  constructor(options: RepliesOptions) {
    this.#options = options;
    this.#ownAddress = new RegExp(`^${options.prefix.replaceAll(".", "\\.")}\\.replies\\.[0-9a-f]{32}$`);
  }

  async open(receive: (record: StoredRecord) => void): Promise<string> {
    const { connection, platform, prefix, whenUp } = this.#options;
    const queue = `${prefix}.replies.${Buffer.from(platform.random.bytes(16)).toString("hex")}`;
    this.#receive = receive;
    const current = await whenUp();
    try {
      await this.#consume(current, queue);
    } catch (error) {
      throw explainOperation(error, `the queue "${queue}" for replies`);
    }
    this.#queue = queue;
    this.#stopListening ??= connection.listen({
      up: again => void this.#restore(again),
      down: () => {
        this.#channel = undefined;
      },
    });
    // Lost while it was being made.
    if (connection.connection !== undefined && connection.connection !== current)
      void this.#restore(connection.connection);
    return queue;
  }

  /**
   * Our own queues, and what clients of other languages reply to: queues that the broker has named (`amq.gen-`) and direct
   * reply-to. Nobody can give a queue of his own a name that begins with `amq.` (AMQP 0-9-1, 403 access refused).
   */
  accepts(address: string): boolean {
    return this.#ownAddress.test(address) || /^amq\.gen-[A-Za-z0-9_-]{22}$/.test(address) || isDirectReplyTo(address);
  }

  async send(reply: EventRecord): Promise<PublishFailure | undefined> {
    const address = reply.topic;
    // Direct reply-to is no queue: the broker returns every mandatory message, although it delivers it.
    const message = messageOf(reply, !isDirectReplyTo(address));
    const failure = await this.#options.send({ ...message, exchange: "", routingKey: address });
    // Only a queue of ours comes back under its name.
    if (failure?.isUnroutable !== true || this.#ownAddress.test(address)) return failure;
    return { ...failure, isRetryable: false };
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    this.#opening++;
    this.#stopListening?.();
    this.#retry?.cancel();
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close();
  }

  async #consume(connection: AmqpConnection, queue: string): Promise<void> {
    const opening = ++this.#opening;
    const channel = await outsideContext(() => connection.channel(false));
    if (opening !== this.#opening || this.#isClosed) {
      await channel.close();
      throw new BrokerError("RabbitMQ: the broker was closed, or its connection lost");
    }
    channel.handler = {
      closed: error => this.#lost(channel, error ?? new AmqpError("the channel was closed", undefined)),
      confirmed() {},
      returned() {},
    };
    this.#channel = channel;
    try {
      const args = { "x-max-length": replyQueueMax, "x-overflow": "drop-head" };
      await channel.declareQueue(queue, { isDurable: false, isExclusive: true, args });
      await channel.consume(queue, { isExclusive: true, isNoAck: true }, delivery => {
        if (this.#channel !== channel) return;
        if (delivery !== undefined) this.#receive(new RabbitmqRecord(delivery, queue));
        else {
          this.#lost(channel, new BrokerError(`RabbitMQ: the queue "${queue}" was deleted`));
          void channel.close();
        }
      });
      this.#failures = 0;
    } catch (error) {
      if (this.#channel === channel) this.#channel = undefined;
      await channel.close();
      throw error;
    }
  }

  async #restore(connection: AmqpConnection): Promise<void> {
    const queue = this.#queue;
    if (queue === undefined || this.#isClosed) return;
    this.#retry?.cancel();
    try {
      await this.#consume(connection, queue);
    } catch (error) {
      // A broker that has not noticed the end of the old connection says that the queue is locked (405).
      this.#again(connection, queue, error as Error);
    }
  }

  #lost(channel: AmqpChannel, error: Error): void {
    if (this.#channel !== channel) return;
    this.#channel = undefined;
    const { connection, platform } = this.#options;
    const current = connection.connection;
    // The end of a connection is told of its channels first.
    outsideContext(() =>
      platform.clock.endOfTurn(() => {
        if (current !== undefined && this.#queue !== undefined) this.#again(current, this.#queue, error);
      }),
    );
  }

  #again(connection: AmqpConnection, queue: string, error: Error): void {
    const { connection: supervised, observer, platform } = this.#options;
    if (this.#isClosed || supervised.connection !== connection) return;
    const waitMs = backoffMs(this.#failures++, platform.random);
    tell(observer, { type: "rabbitmq.consumer_lost", queue, error, waitMs });
    this.#retry?.cancel();
    this.#retry = outsideContext(() =>
      platform.clock.after(waitMs, () => {
        if (supervised.connection !== undefined) void this.#restore(supervised.connection);
      }),
    );
  }
}

function isDirectReplyTo(address: string): boolean {
  return /^amq\.rabbitmq\.reply-to\.[A-Za-z0-9+/=._-]{1,230}$/.test(address);
}
