import type { Channel, ChannelModel, ConfirmChannel, GetMessage, Message } from "amqplib";
import type { Clock } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import {
  type AmqpChannel,
  type AmqpChannelHandler,
  type AmqpClient,
  type AmqpConnection,
  type AmqpConnectionHandler,
  type AmqpDelivery,
  AmqpError,
  type AmqpMessage,
  type AmqpTable,
  type ConsumeOptions,
  type Endpoint,
  type QueueDeclaration,
  type QueueFigures,
} from "./amqp.ts";
import { closeTimeoutMs } from "./limits.ts";

/**
 * {@link AmqpClient} by amqplib: the only file that imports it. amqplib opens sockets and has timers of its own (heartbeats);
 * everything else that it does is driven by its caller.
 */
export async function amqplibClient(
  clock: Clock,
  load: () => Promise<typeof import("amqplib")> = () => import("amqplib"),
): Promise<AmqpClient> {
  const amqplib = await load().catch(cause => {
    throw new BrokerError("amqp:// and amqps:// need the package amqplib; install it: npm install amqplib", { cause });
  });
  return { open: endpoint => open(amqplib, clock, endpoint) };
}

async function open(amqplib: typeof import("amqplib"), clock: Clock, endpoint: Endpoint): Promise<AmqpConnection> {
  const { login, tls } = endpoint;
  const credentials =
    login.mechanism === "EXTERNAL"
      ? amqplib.credentials.external()
      : amqplib.credentials.plain(login.user, login.password);
  const opening = amqplib.connect(
    {
      protocol: tls === undefined ? "amqp" : "amqps",
      hostname: endpoint.host,
      port: endpoint.port,
      vhost: encodeURIComponent(endpoint.vhost),
      heartbeat: endpoint.heartbeatSeconds,
    },
    {
      noDelay: true,
      keepAlive: true,
      timeout: endpoint.timeoutMs,
      credentials,
      clientProperties: { product: "trunkline", connection_name: "trunkline" },
      ...(tls !== undefined && {
        rejectUnauthorized: tls.isVerified,
        ...(tls.ca !== undefined && { ca: Buffer.from(tls.ca) }),
        ...(tls.cert !== undefined && { cert: Buffer.from(tls.cert) }),
        ...(tls.key !== undefined && { key: Buffer.from(tls.key) }),
        ...(tls.passphrase !== undefined && { passphrase: tls.passphrase }),
        ...(tls.serverName !== undefined && { servername: tls.serverName }),
      }),
    },
  );
  // Its own time-out counts silence only, and starts anew with every byte.
  const model = await within(clock, endpoint.timeoutMs, opening, late => void late.close().catch(() => {}));
  if (model === undefined) throw new Error(`no answer within ${endpoint.timeoutMs} ms (ETIMEDOUT)`);
  return new AmqplibConnection(model, clock);
}

/** The outcome, or `undefined` when it takes too long; `late` gets what comes afterwards. */
async function within<T>(
  clock: Clock,
  timeoutMs: number,
  work: Promise<T>,
  late: (outcome: T) => void = () => {},
): Promise<T | undefined> {
  let isLate = false;
  work.then(
    outcome => isLate && late(outcome),
    () => {},
  );
  const { promise, resolve } = Promise.withResolvers<undefined>();
  const timer = clock.after(timeoutMs, () => {
    isLate = true;
    resolve(undefined);
  });
  try {
    return await Promise.race([work, promise]);
  } finally {
    timer.cancel();
  }
}

function amqpError(error: unknown): AmqpError {
  if (error instanceof AmqpError) return error;
  const { code, message } = error as { code?: unknown; message?: unknown };
  const text = typeof message === "string" ? message : String(error);
  const fromText = /\b([345]\d\d) \([A-Z-]+\)/.exec(text)?.[1];
  const number = typeof code === "number" ? code : fromText === undefined ? undefined : Number(fromText);
  // The broker's own words; what amqplib puts around them says nothing more.
  const said = /with message "([\s\S]*)"$/.exec(text)?.[1];
  return new AmqpError(said ?? text, number, { cause: error });
}

class AmqplibConnection implements AmqpConnection {
  handler: AmqpConnectionHandler = { closed() {}, blocked() {}, unblocked() {} };
  readonly version: string;
  readonly #model: ChannelModel;
  readonly #clock: Clock;
  #error: AmqpError | undefined;
  #isClosed = false;

  constructor(model: ChannelModel, clock: Clock) {
    this.#model = model;
    this.#clock = clock;
    this.version = String(model.connection.serverProperties.version);
    model.on("error", error => {
      this.#error ??= amqpError(error);
    });
    // A restart (320) comes with `close` alone.
    model.on("close", error => this.#end(this.#error ?? (error === undefined ? undefined : amqpError(error))));
    model.on("blocked", reason => this.handler.blocked(reason));
    model.on("unblocked", () => this.handler.unblocked());
  }

  async channel(isConfirming: boolean): Promise<AmqpChannel> {
    const opening = isConfirming ? this.#model.createConfirmChannel() : this.#model.createChannel();
    const channel = await opening.catch(error => {
      throw this.#error ?? amqpError(error);
    });
    return new AmqplibChannel(channel, this.#clock, () => this.#error);
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const closing = this.#model.close().then(
      () => true,
      () => true,
    );
    if ((await within(this.#clock, closeTimeoutMs, closing)) === undefined) this.destroy();
  }

  destroy(): void {
    this.#destroySocket();
    this.#end(this.#error ?? new AmqpError("the connection was given up", undefined));
  }

  #end(error: AmqpError | undefined): void {
    // After a missed heartbeat amqplib waits for the peer to take what was written, and that peer is gone.
    this.#destroySocket();
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.handler.closed(error);
  }

  /** amqplib has no method for it; where a version has no such field, the system ends the socket in its own time. */
  #destroySocket(): void {
    const { stream } = this.#model.connection as unknown as { stream?: { destroy?: () => void; end?: () => void } };
    // Behind what is being written: a `connection.close-ok` that is still in the buffer.
    if (this.#isClosed || stream === undefined) stream?.destroy?.();
    else this.#clock.endOfTurn(() => stream.destroy?.());
  }
}

class AmqplibChannel implements AmqpChannel {
  handler: AmqpChannelHandler = { closed() {}, confirmed() {}, returned() {} };
  readonly #channel: Channel | ConfirmChannel;
  readonly #clock: Clock;
  readonly #connectionError: () => AmqpError | undefined;
  #error: AmqpError | undefined;
  #isClosed = false;

  constructor(channel: Channel | ConfirmChannel, clock: Clock, connectionError: () => AmqpError | undefined) {
    this.#channel = channel;
    this.#clock = clock;
    this.#connectionError = connectionError;
    channel.on("error", error => {
      this.#error ??= amqpError(error);
    });
    channel.on("close", () => {
      this.#isClosed = true;
      this.handler.closed(this.#error ?? this.#connectionError());
    });
    channel.on("ack", ({ deliveryTag, multiple }) => this.handler.confirmed(deliveryTag, multiple, true));
    channel.on("nack", ({ deliveryTag, multiple }) => this.handler.confirmed(deliveryTag, multiple, false));
    channel.on("return", message => {
      const { replyText } = message.fields as unknown as { replyText?: unknown };
      this.handler.returned(deliveryOf(message), String(replyText ?? "NO_ROUTE"));
    });
  }

  publish({ exchange, routingKey, body, isMandatory, properties }: AmqpMessage): void {
    const options = { ...properties, mandatory: isMandatory, persistent: true };
    this.#channel.publish(exchange, routingKey, bufferOf(body), options as object);
  }

  async prefetch(count: number): Promise<void> {
    await this.#ask(this.#channel.prefetch(count));
  }

  async consume(
    queue: string,
    options: ConsumeOptions,
    deliver: (delivery: AmqpDelivery | undefined) => void,
  ): Promise<string> {
    const consuming = this.#channel.consume(
      queue,
      message => deliver(message === null ? undefined : deliveryOf(message)),
      { exclusive: options.isExclusive === true, noAck: options.isNoAck === true },
    );
    return (await this.#ask(consuming)).consumerTag;
  }

  async cancel(consumerTag: string): Promise<void> {
    await this.#ask(this.#channel.cancel(consumerTag));
  }

  async get(queue: string): Promise<AmqpDelivery | undefined> {
    const message = await this.#ask(this.#channel.get(queue));
    return message === false ? undefined : deliveryOf(message);
  }

  ack(tag: number, isMultiple: boolean): void {
    this.#tell(() => this.#channel.ack(tagged(tag), isMultiple));
  }

  requeue(tag: number): void {
    this.#tell(() => this.#channel.nack(tagged(tag), false, true));
  }

  /** What has no answer: on a channel that is closing it says nothing, since everything unsettled goes back by itself. */
  #tell(say: () => void): void {
    if (this.#isClosed) return;
    try {
      say();
    } catch (error) {
      if ((error as Error).name !== "IllegalOperationError") throw error;
    }
  }

  async findQueue(queue: string): Promise<QueueFigures> {
    return figures(await this.#ask(this.#channel.checkQueue(queue)));
  }

  async declareQueue(queue: string, options: QueueDeclaration): Promise<QueueFigures> {
    const { isDurable, isExclusive = false, args = {} } = options;
    const declaring = this.#channel.assertQueue(queue, { durable: isDurable, exclusive: isExclusive, arguments: args });
    return figures(await this.#ask(declaring));
  }

  async bindQueue(queue: string, exchange: string, routingKey: string, args: AmqpTable = {}): Promise<void> {
    await this.#ask(this.#channel.bindQueue(queue, exchange, routingKey, args));
  }

  async findExchange(exchange: string): Promise<void> {
    await this.#ask(this.#channel.checkExchange(exchange));
  }

  async declareExchange(exchange: string, type: string, args: AmqpTable = {}): Promise<void> {
    await this.#ask(this.#channel.assertExchange(exchange, type, { durable: true, arguments: args }));
  }

  async bindExchange(destination: string, source: string, routingKey: string, args: AmqpTable = {}): Promise<void> {
    await this.#ask(this.#channel.bindExchange(destination, source, routingKey, args));
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    const closing = this.#channel.close().then(
      () => true,
      () => true,
    );
    await within(this.#clock, closeTimeoutMs, closing);
  }

  async #ask<T>(answer: Promise<T>): Promise<T> {
    try {
      return await answer;
    } catch (error) {
      const own = amqpError(error);
      // "Channel ended, no reply will be forthcoming": the reason came by another way.
      throw own.code === undefined ? (this.#error ?? this.#connectionError() ?? own) : own;
    }
  }
}

function figures(reply: { queue: string; messageCount: number; consumerCount: number }): QueueFigures {
  return { queue: reply.queue, messages: reply.messageCount, consumers: reply.consumerCount };
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** All that `ack` and `nack` look at. */
function tagged(tag: number): Message {
  return { fields: { deliveryTag: tag } } as unknown as Message;
}

function deliveryOf(message: Message | GetMessage): AmqpDelivery {
  const { deliveryTag = 0, redelivered = false, exchange, routingKey } = message.fields;
  return {
    tag: deliveryTag,
    isRedelivered: redelivered,
    exchange,
    routingKey,
    properties: message.properties,
    body: message.content,
  };
}
