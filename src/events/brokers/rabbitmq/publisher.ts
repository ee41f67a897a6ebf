import { type Observer, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { PublishFailure } from "../../driver.ts";
import { PublishError } from "../../errors.ts";
import type { AmqpChannel, AmqpConnection, AmqpDelivery, AmqpMessage } from "./amqp.ts";
import { AmqpError } from "./amqp.ts";
import { backoffMs } from "./backoff.ts";
import { unconfirmedBytesMax, unconfirmedMax } from "./limits.ts";
import { tell } from "./observed.ts";
import { type Batch, costBytes, failure, isReturnOf, type Pending, unroutable } from "./pending-publish.ts";
import type { SupervisedConnection } from "./supervised-connection.ts";

export interface PublisherOptions {
  readonly connection: SupervisedConnection;
  readonly platform: Platform;
  readonly observer: Observer;
  readonly timeoutMs: number;
  readonly pendingBytesMax: number;
  /** Makes sure of what messages are published to, on each new connection. Must not reject. */
  readonly restore: (connection: AmqpConnection) => Promise<void>;
}

/**
 * Publishes with confirms, in the order of the calls, over one channel at a time. What was sent and not confirmed when a
 * channel ended is sent again, in the same order and with the same ids, before anything newer.
 *
 * A channel that the broker closes itself does not say which message it disliked. What was unconfirmed then goes one by one:
 * the message in whose company the next channel dies is the one, and has failed; the rest goes on.
 */
export class Publisher {
  readonly #options: PublisherOptions;
  /** In order; those before `#waitingHead` are gone. */
  #waiting: Pending[] = [];
  #waitingHead = 0;
  /** By tag, which is also by order. */
  readonly #unconfirmed = new Map<number, Pending>();
  #unconfirmedBytes = 0;
  #pendingBytes = 0;
  #unsettled = 0;
  #channel: AmqpChannel | undefined;
  #lastTag = 0;
  #lowestTag = 1;
  #isBlocked = false;
  /** Messages that still have to go one by one. */
  #suspects = 0;
  /** Channels in a row that ended without a confirmation. */
  #failedChannels = 0;
  #timer: Timer | undefined;
  #reopening: Timer | undefined;
  /** Only the last opening counts. */
  #opening = 0;
  #isClosed = false;
  readonly #stopListening: () => void;
  #idle: (() => void) | undefined;

  constructor(options: PublisherOptions) {
    this.#options = options;
    this.#stopListening = options.connection.listen({
      up: connection => void this.#open(connection),
      down: error => this.#channelClosed(this.#channel, error),
      blocked: () => {
        this.#isBlocked = true;
      },
      unblocked: () => {
        this.#isBlocked = false;
        this.#pump();
      },
    });
    const { connection } = options.connection;
    if (connection !== undefined) void this.#open(connection);
  }

  get pendingBytes(): number {
    return this.#pendingBytes;
  }

  /** Resolves with the outcome of each, at the same index. */
  send(messages: readonly AmqpMessage[]): Promise<readonly (PublishFailure | undefined)[]> {
    if (messages.length === 0) return Promise.resolve([]);
    if (this.#isClosed) return Promise.reject(new PublishError("RabbitMQ: the broker is closed", false));
    const { platform, timeoutMs, pendingBytesMax } = this.#options;
    const { promise, resolve } = Promise.withResolvers<readonly (PublishFailure | undefined)[]>();
    const batch: Batch = { outcomes: new Array(messages.length).fill(undefined), left: messages.length, resolve };
    const deadlineMs = platform.clock.now() + timeoutMs;
    for (let index = 0; index < messages.length; index++) {
      const message = messages[index] as AmqpMessage;
      const pending: Pending = { message, batch, index, deadlineMs, returned: undefined, isSettled: false };
      const bytes = costBytes(message);
      this.#pendingBytes += bytes;
      this.#unsettled++;
      this.#waiting.push(pending);
      if (this.#pendingBytes > pendingBytesMax && this.#pendingBytes > bytes) {
        this.#waiting.pop();
        this.#settle(pending, failure(`more than ${pendingBytesMax} bytes wait to be confirmed`, true));
      }
    }
    this.#pump();
    this.#watch();
    return promise;
  }

  /** Resolves when nothing is pending; whatever happens, within the time-out of the messages. */
  flush(): Promise<void> {
    if (this.#isIdle()) return Promise.resolve();
    const { promise, resolve } = Promise.withResolvers<void>();
    const before = this.#idle;
    this.#idle = () => {
      before?.();
      resolve();
    };
    return promise;
  }

  async close(): Promise<void> {
    await this.flush();
    this.#isClosed = true;
    this.#stopListening();
    this.#reopening?.cancel();
    this.#timer?.cancel();
    const channel = this.#channel;
    this.#channel = undefined;
    await channel?.close();
  }

  #isIdle(): boolean {
    return this.#unsettled === 0;
  }

  async #open(connection: AmqpConnection): Promise<void> {
    this.#reopening?.cancel();
    this.#reopening = undefined;
    this.#isBlocked = false;
    const opening = ++this.#opening;
    let channel: AmqpChannel;
    try {
      await this.#options.restore(connection);
      channel = await outsideContext(() => connection.channel(true));
    } catch (error) {
      // When the connection is gone as well, the next one opens a channel.
      const isLast = opening === this.#opening && this.#options.connection.connection === connection;
      if (isLast && !this.#isClosed) this.#reopen(error as Error);
      return;
    }
    if (this.#isClosed || opening !== this.#opening || this.#options.connection.connection !== connection) {
      await channel.close();
      return;
    }
    this.#channel = channel;
    this.#lastTag = 0;
    this.#lowestTag = 1;
    channel.handler = {
      closed: error => this.#channelClosed(channel, error ?? new AmqpError("the channel was closed", undefined)),
      confirmed: (tag, isMultiple, isStored) => {
        if (this.#channel === channel) this.#confirmed(tag, isMultiple, isStored);
      },
      returned: (message, reason) => {
        if (this.#channel === channel) this.#returned(message, reason);
      },
    };
    this.#pump();
  }

  #reopen(error: Error): void {
    const { connection, observer, platform } = this.#options;
    tell(observer, { type: "rabbitmq.publish_channel_closed", error });
    const waitMs = this.#failedChannels++ === 0 ? 0 : backoffMs(this.#failedChannels - 2, platform.random);
    this.#reopening = outsideContext(() =>
      platform.clock.after(waitMs, () => {
        if (connection.connection !== undefined && !this.#isClosed) void this.#open(connection.connection);
      }),
    );
  }

  #channelClosed(channel: AmqpChannel | undefined, error: Error): void {
    if (channel === undefined || this.#channel !== channel) return;
    this.#channel = undefined;
    const lost = [...this.#unconfirmed.values()].filter(pending => !pending.isSettled);
    this.#unconfirmed.clear();
    this.#unconfirmedBytes = 0;
    // Numbers from 400 up are the broker's judgement on something that was sent; 320 is its operator's.
    const isJudgement = error instanceof AmqpError && error.code !== undefined && error.code >= 400;
    let again = lost;
    if (isJudgement && this.#suspects > 0 && lost.length === 1) {
      again = [];
      this.#suspects--;
      this.#failedChannels = 0;
      this.#settle(lost[0] as Pending, failure(error.message, false, error));
    } else if (isJudgement) {
      this.#suspects = lost.length;
    }
    for (const pending of again) pending.returned = undefined;
    this.#waiting = again.concat(this.#waiting.slice(this.#waitingHead));
    this.#waitingHead = 0;
    const { connection, platform } = this.#options;
    const current = connection.connection;
    // The end of a connection is told of its channels first.
    outsideContext(() =>
      platform.clock.endOfTurn(() => {
        if (current !== undefined && connection.connection === current && !this.#isClosed) this.#reopen(error);
      }),
    );
  }

  /** Sends as much as the window has room for. */
  #pump(): void {
    const channel = this.#channel;
    if (channel === undefined || this.#isBlocked) return;
    while (this.#waitingHead < this.#waiting.length && this.#hasRoom()) {
      const pending = this.#waiting[this.#waitingHead] as Pending;
      if (pending.isSettled) {
        this.#waitingHead++;
        continue;
      }
      try {
        channel.publish(pending.message);
      } catch (error) {
        if ((error as Error).name === "IllegalOperationError") return; // closed, and about to say so
        this.#waitingHead++;
        if (this.#suspects > 0) this.#suspects--;
        this.#settle(pending, failure(`the properties cannot be encoded: ${(error as Error).message}`, false, error));
        continue;
      }
      this.#waitingHead++;
      this.#unconfirmed.set(++this.#lastTag, pending);
      this.#unconfirmedBytes += pending.message.body.length;
    }
    if (this.#waitingHead === this.#waiting.length) {
      this.#waiting.length = 0;
      this.#waitingHead = 0;
    } else if (this.#waitingHead > 4_096) {
      this.#waiting = this.#waiting.slice(this.#waitingHead);
      this.#waitingHead = 0;
    }
  }

  #hasRoom(): boolean {
    if (this.#unconfirmed.size === 0) return true;
    return (
      this.#suspects === 0 && this.#unconfirmed.size < unconfirmedMax && this.#unconfirmedBytes < unconfirmedBytesMax
    );
  }

  #confirmed(tag: number, isMultiple: boolean, isStored: boolean): void {
    this.#failedChannels = 0;
    if (isMultiple) {
      for (; this.#lowestTag <= tag; this.#lowestTag++) this.#confirm(this.#lowestTag, isStored);
    } else {
      this.#confirm(tag, isStored);
    }
    this.#pump();
  }

  #confirm(tag: number, isStored: boolean): void {
    const pending = this.#unconfirmed.get(tag);
    if (pending === undefined) return;
    this.#unconfirmed.delete(tag);
    this.#unconfirmedBytes -= pending.message.body.length;
    if (this.#suspects > 0) this.#suspects--;
    const refused = isStored
      ? undefined
      : failure("the broker could not store it: a queue is full or has failed", true);
    this.#settle(pending, refused ?? pending.returned);
  }

  /** A return carries no tag: it belongs to the first unconfirmed message that looks like it. */
  #returned(message: AmqpDelivery, reason: string): void {
    for (const pending of this.#unconfirmed.values()) {
      if (pending.returned !== undefined || !isReturnOf(pending.message, message)) continue;
      pending.returned = unroutable(message, reason);
      return;
    }
  }

  #settle(pending: Pending, outcome: PublishFailure | undefined): void {
    if (pending.isSettled) return;
    pending.isSettled = true;
    this.#pendingBytes -= costBytes(pending.message);
    this.#unsettled--;
    const { batch } = pending;
    batch.outcomes[pending.index] = outcome;
    if (--batch.left === 0) batch.resolve(batch.outcomes);
    if (this.#idle !== undefined && this.#isIdle()) {
      const idle = this.#idle;
      this.#idle = undefined;
      idle();
    }
  }

  /** One timer for all: they become too old in the order in which they came. */
  #watch(): void {
    if (this.#timer !== undefined) return;
    const oldest = this.#oldest();
    if (oldest === undefined) return;
    const { clock } = this.#options.platform;
    this.#timer = outsideContext(() =>
      clock.after(Math.max(oldest.deadlineMs - clock.now(), 100), () => {
        this.#timer = undefined;
        this.#expire();
        this.#watch();
      }),
    );
  }

  #oldest(): Pending | undefined {
    for (const pending of this.#unconfirmed.values()) if (!pending.isSettled) return pending;
    return this.#waiting[this.#waitingHead];
  }

  #expire(): void {
    const { connection, platform, timeoutMs } = this.#options;
    const nowMs = platform.clock.now();
    for (const pending of this.#unconfirmed.values()) {
      if (pending.isSettled) continue;
      if (pending.deadlineMs > nowMs) break;
      // It stays in its place, so that what the broker says of the tag later finds nobody else.
      this.#settle(pending, failure(`no confirmation within ${timeoutMs} ms; it may be stored all the same`, true));
    }
    while (this.#waitingHead < this.#waiting.length) {
      const pending = this.#waiting[this.#waitingHead] as Pending;
      if (pending.deadlineMs > nowMs && !pending.isSettled) break;
      this.#waitingHead++;
      const why = connection.trouble ?? "too many messages are unconfirmed";
      this.#settle(pending, failure(`not sent within ${timeoutMs} ms: ${why}`, true));
    }
  }
}
