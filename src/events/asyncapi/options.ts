import type { DescMessage } from "@bufbuild/protobuf";
import type { Broker } from "../broker.ts";

export interface AsyncApiOptions {
  /** The broker whose subscriptions are shown: those that there are when somebody asks. @default none */
  readonly broker?: Pick<Broker, "describe"> | undefined;
  /**
   * The events that the service publishes. They are named, because nothing else knows: what has been published so far depends on
   * what has happened so far, an outbox may publish for another process, and a contract's file also has events of others.
   * @default none
   */
  readonly publishes?: readonly DescMessage[] | undefined;
  /** What the service asks of others, by `broker.request`, and what is replied. @default none */
  readonly requests?: readonly AsyncApiRequest[] | undefined;
  /**
   * Brokers by name, as URLs of `connectBroker` or with a description. Hosts, ports and the way to log in are shown, never who logs
   * in or with what. Left out unless given: where a broker is, from outside, is often not where the service reaches it.
   * @default none
   */
  readonly servers?: Readonly<Record<string, string | AsyncApiServer>> | undefined;
  /** @default the `source` of the broker, otherwise "Events" */
  readonly title?: string | undefined;
  /** The version of the API. @default "1.0.0" */
  readonly version?: string | undefined;
  readonly description?: string | undefined;
}

export interface AsyncApiRequest {
  /** An event. */
  readonly request: DescMessage;
  readonly reply: DescMessage;
}

export interface AsyncApiServer {
  readonly url: string;
  readonly description?: string | undefined;
}
