import type { Broker, BrokerOptions, SubscribeOptions } from "../broker.ts";

/** What a driver's test says of its broker, so that the suite can be run on it. */
export interface BrokerHarness {
  /** In the names of the tests. */
  readonly name: string;
  /** Another connection to the same broker: as if from another process. The suite closes it. */
  connect(options?: BrokerOptions): Promise<Broker>;
  /** For topics and groups that no other case and no earlier run has: A-Z a-z 0-9 . _ - */
  uniqueName(hint: string): string;
  /** What a subscription needs so that keys keep their order over several members. @default nothing */
  readonly inOrder?: Partial<SubscribeOptions> | undefined;
  /** What a subscription needs so that several members share a topic. @default nothing */
  readonly shared?: Partial<SubscribeOptions> | undefined;
  /** Publishes as a client would that knows nothing of us: a body, and what its protocol has. */
  publishPlain?(topic: string, record: PlainRecord): Promise<void>;
  /** Ends a connection without any goodbye, as if its process had been killed. */
  kill?(broker: Broker): Promise<void>;
  /** Cuts all connections; the broker stays. */
  cutConnections?(): Promise<void>;
  /** Stops the broker and starts it again with all that it had confirmed. */
  restart?(): Promise<void>;
  /** How long a step may take before the case fails, in milliseconds. @default 20,000 */
  readonly waitMs?: number | undefined;
  /** Cases that this broker cannot pass, by name, each with the reason. */
  readonly skips?: Readonly<Record<string, string>> | undefined;
}

export interface PlainRecord {
  /** Kafka's key. */
  readonly key?: string | undefined;
  /** RabbitMQ's routing key. */
  readonly routingKey: string;
  readonly body: Uint8Array;
}
