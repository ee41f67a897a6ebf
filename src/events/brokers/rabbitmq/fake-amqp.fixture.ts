import {
  type AmqpChannel,
  type AmqpChannelHandler,
  type AmqpClient,
  type AmqpConnection,
  type AmqpConnectionHandler,
  type AmqpDelivery,
  AmqpError,
  type AmqpMessage,
  type Endpoint,
  type QueueFigures,
} from "./amqp.ts";

/** A client whose broker does what a test says: opens or refuses connections, confirms, refuses, cuts. */
export class FakeAmqp implements AmqpClient {
  /** What the next attempts meet, in order; without an entry they succeed. `hang` never ends. */
  readonly plan: ("ok" | "hang" | Error)[] = [];
  readonly connections: FakeConnection[] = [];
  readonly attempts: string[] = [];

  async open(endpoint: Endpoint): Promise<AmqpConnection> {
    this.attempts.push(`${endpoint.host}:${endpoint.port}`);
    const next = this.plan.shift() ?? "ok";
    if (next instanceof Error) throw next;
    if (next === "hang") return new Promise(() => {});
    // Not there for the test before it is there for its owner.
    await Promise.resolve();
    const connection = new FakeConnection();
    this.connections.push(connection);
    return connection;
  }

  /** Connections that are open. */
  get live(): readonly FakeConnection[] {
    return this.connections.filter(connection => !connection.isClosed);
  }
}

export class FakeConnection implements AmqpConnection {
  readonly version = "3.10.8";
  handler: AmqpConnectionHandler = { closed() {}, blocked() {}, unblocked() {} };
  readonly channels: FakeChannel[] = [];
  isClosed = false;
  /** The next channel cannot be opened. */
  refusesChannel: AmqpError | undefined;

  async channel(): Promise<AmqpChannel> {
    if (this.isClosed) throw new AmqpError("the connection is closed", undefined);
    const { refusesChannel } = this;
    if (refusesChannel !== undefined) {
      this.refusesChannel = undefined;
      throw refusesChannel;
    }
    await Promise.resolve();
    if (this.isClosed) throw new AmqpError("the connection is closed", undefined);
    const channel = new FakeChannel();
    this.channels.push(channel);
    return channel;
  }

  /** The last one that is open. */
  get live(): FakeChannel | undefined {
    return this.channels.findLast(channel => !channel.isClosed);
  }

  /** As a lost socket: channels first, then the connection. */
  cut(error = new AmqpError("read ECONNRESET", undefined)): void {
    if (this.isClosed) return;
    this.isClosed = true;
    for (const channel of this.channels) channel.end(error);
    this.handler.closed(error);
  }

  async close(): Promise<void> {
    this.isClosed = true;
    for (const channel of this.channels) channel.end(undefined);
    this.handler.closed(undefined);
  }

  destroy(): void {
    this.isClosed = true;
  }
}

export class FakeChannel implements AmqpChannel {
  handler: AmqpChannelHandler = { closed() {}, confirmed() {}, returned() {} };
  /** By tag - 1. */
  readonly published: AmqpMessage[] = [];
  readonly acked: { readonly tag: number; readonly isMultiple: boolean }[] = [];
  readonly requeued: number[] = [];
  isClosed = false;

  publish(message: AmqpMessage): void {
    if (this.isClosed) throw Object.assign(new Error("Channel closed"), { name: "IllegalOperationError" });
    if (message.routingKey === "unencodable") throw new RangeError("offset is out of range");
    this.published.push(message);
  }

  end(error: AmqpError | undefined): void {
    if (this.isClosed) return;
    this.isClosed = true;
    this.handler.closed(error);
  }

  ack(tag: number, isMultiple: boolean): void {
    this.acked.push({ tag, isMultiple });
  }

  requeue(tag: number): void {
    this.requeued.push(tag);
  }

  async close(): Promise<void> {
    this.end(undefined);
  }

  async prefetch(): Promise<void> {}
  async consume(): Promise<string> {
    return "consumer";
  }
  async cancel(): Promise<void> {}
  async get(): Promise<AmqpDelivery | undefined> {
    return undefined;
  }
  async findQueue(queue: string): Promise<QueueFigures> {
    return { queue, messages: 0, consumers: 0 };
  }
  async declareQueue(queue: string): Promise<QueueFigures> {
    return { queue, messages: 0, consumers: 0 };
  }
  async bindQueue(): Promise<void> {}
  async findExchange(): Promise<void> {}
  async declareExchange(): Promise<void> {}
  async bindExchange(): Promise<void> {}
}

export function endpoint(host: string, port = 5_672): Endpoint {
  const login = { mechanism: "PLAIN", user: "guest", password: "guest" } as const;
  return { host, port, vhost: "/", login, tls: undefined, heartbeatSeconds: 10, timeoutMs: 1_000 };
}
