/**
 * What the driver needs of an AMQP 0-9-1 client: connections and channels that fail by calling `closed`, once, and take
 * nothing afterwards. `amqplib-client.ts` has it from amqplib; tests have it from a fake.
 */
export interface AmqpClient {
  /** Resolves after the handshake. */
  open(endpoint: Endpoint): Promise<AmqpConnection>;
}

export interface Endpoint {
  readonly host: string;
  readonly port: number;
  readonly vhost: string;
  readonly login: Login;
  readonly tls: TlsFiles | undefined;
  /** Silence of twice as long ends the connection; 0 switches heartbeats off. */
  readonly heartbeatSeconds: number;
  /** For TCP, TLS and AMQP handshakes together. */
  readonly timeoutMs: number;
}

/** SASL: PLAIN, or EXTERNAL, where the client's certificate says who it is. */
export type Login =
  | { readonly mechanism: "PLAIN"; readonly user: string; readonly password: string }
  | { readonly mechanism: "EXTERNAL" };

/** PEM, as read from the files that the URL names. */
export interface TlsFiles {
  readonly ca: Uint8Array | undefined;
  readonly cert: Uint8Array | undefined;
  readonly key: Uint8Array | undefined;
  readonly passphrase: string | undefined;
  readonly serverName: string | undefined;
  readonly isVerified: boolean;
}

/** An error that the broker gave a number (AMQP 0-9-1, section 1.2 of the reference): 403, 404, 406 … */
export class AmqpError extends Error {
  override readonly name = "AmqpError";
  readonly code: number | undefined;

  constructor(message: string, code: number | undefined, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

export interface AmqpConnection {
  /** Of the broker, for example `3.10.8`. */
  readonly version: string;
  /** Set by the owner before the turn of the event loop ends. */
  handler: AmqpConnectionHandler;
  channel(isConfirming: boolean): Promise<AmqpChannel>;
  /** Orderly: what was sent before has been handled by the broker. Gives up on a silent peer. */
  close(): Promise<void>;
  /** At once. */
  destroy(): void;
}

export interface AmqpConnectionHandler {
  /** The connection is over, whoever ended it; `error` is absent when `close` did. */
  closed(error: AmqpError | undefined): void;
  /** The broker takes no messages at the moment: it is out of memory or disk. */
  blocked(reason: string): void;
  unblocked(): void;
}

export interface AmqpChannel {
  handler: AmqpChannelHandler;
  /**
   * On a confirming channel the nth message has the tag n. Nothing has been sent when it throws.
   * @throws when the properties cannot be encoded, or the channel is closed
   */
  publish(message: AmqpMessage): void;
  /** Counted for each consumer that begins afterwards. */
  prefetch(count: number): Promise<void>;
  /** `undefined`: the broker has cancelled the consumer, because its queue is gone. */
  consume(
    queue: string,
    options: ConsumeOptions,
    deliver: (delivery: AmqpDelivery | undefined) => void,
  ): Promise<string>;
  cancel(consumerTag: string): Promise<void>;
  get(queue: string): Promise<AmqpDelivery | undefined>;
  ack(tag: number, isMultiple: boolean): void;
  /** Gives it back to its queue. */
  requeue(tag: number): void;
  /** @throws AmqpError 404 when it is missing */
  findQueue(queue: string): Promise<QueueFigures>;
  declareQueue(queue: string, options: QueueDeclaration): Promise<QueueFigures>;
  bindQueue(queue: string, exchange: string, routingKey: string, args?: AmqpTable): Promise<void>;
  findExchange(exchange: string): Promise<void>;
  declareExchange(exchange: string, type: string, args?: AmqpTable): Promise<void>;
  bindExchange(destination: string, source: string, routingKey: string, args?: AmqpTable): Promise<void>;
  /** What was sent before has been handled by the broker, and what is unsettled went back. Gives up on a silent peer. */
  close(): Promise<void>;
}

export interface AmqpChannelHandler {
  closed(error: AmqpError | undefined): void;
  /** Of a confirming channel: the message `tag`, or all up to it, are stored, or refused. */
  confirmed(tag: number, isMultiple: boolean, isStored: boolean): void;
  /** A mandatory message that no queue got; it is confirmed as well, afterwards. */
  returned(message: AmqpDelivery, reason: string): void;
}

export type AmqpTable = Readonly<Record<string, unknown>>;

export interface AmqpMessage {
  readonly exchange: string;
  readonly routingKey: string;
  readonly body: Uint8Array;
  readonly isMandatory: boolean;
  readonly properties: AmqpProperties;
}

/** Of a message. Everything is the sender's word, of whatever type. */
export interface AmqpProperties {
  readonly headers?: AmqpTable | undefined;
  readonly messageId?: unknown;
  readonly contentType?: unknown;
  readonly contentEncoding?: unknown;
  readonly correlationId?: unknown;
  readonly replyTo?: unknown;
  readonly type?: unknown;
  readonly appId?: unknown;
  /** Seconds since 1970-01-01 UTC. */
  readonly timestamp?: unknown;
  readonly priority?: unknown;
}

export interface AmqpDelivery {
  /** 0 for a returned message. */
  readonly tag: number;
  readonly isRedelivered: boolean;
  readonly exchange: string;
  readonly routingKey: string;
  readonly properties: AmqpProperties;
  readonly body: Uint8Array;
}

export interface ConsumeOptions {
  readonly isExclusive?: boolean | undefined;
  /** A message is done with when it has been sent to us; nothing is acknowledged. */
  readonly isNoAck?: boolean | undefined;
}

export interface QueueDeclaration {
  readonly isDurable: boolean;
  readonly isExclusive?: boolean | undefined;
  readonly args?: AmqpTable | undefined;
}

export interface QueueFigures {
  readonly queue: string;
  /** Ready: those in work are not among them. */
  readonly messages: number;
  readonly consumers: number;
}
