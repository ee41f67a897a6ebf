import { BrokerError } from "../../errors.ts";
import { shortStringBytesMax } from "./limits.ts";

/** The queues of one group, or of one of its partitions. */
export interface QueueNames {
  /** What events arrive in. */
  readonly queue: string;
  /** What comes again: due retries, replayed dead letters, what a crash left behind. */
  readonly retry: string;
  /** Shared by all partitions; also the name of the exchange in front of it. */
  readonly dead: string;
}

/** @throws BrokerError when a name is too long for AMQP */
export function queueNames(base: string, partition?: number): QueueNames {
  const queue = partition === undefined ? base : `${base}.${partition}`;
  const names = { queue, retry: `${queue}.retry`, dead: `${base}.dead` };
  checkName(names.retry, "queue");
  if (base === "" || base.startsWith("amq.")) {
    throw new BrokerError(`RabbitMQ: "${base}" cannot be the name of a queue: it is empty or begins with "amq."`);
  }
  return names;
}

/** @throws BrokerError */
export function checkName(name: string, what: string): void {
  if (Buffer.byteLength(name) > shortStringBytesMax) {
    throw new BrokerError(
      `RabbitMQ: the name of the ${what} "${name.slice(0, 40)}…" is longer than ${shortStringBytesMax} bytes`,
    );
  }
}

/** Headers that only this driver writes and reads. */
export const ownHeader = {
  /** Topic exchange that the event was published to; its own word once it came by another way. */
  topic: "trunkline-topic",
  /** Where an event goes when its delay is over; bindings of the ladder match it. */
  due: "trunkline-due",
  /** With a level behind it: the ladder's step is to be taken. */
  step: "trunkline-step-",
  letterId: "trunkline-letter-id",
  group: "trunkline-group",
  reason: "trunkline-death-reason",
  exception: "trunkline-death-exception",
  diedAt: "trunkline-died-at",
  place: "trunkline-death-place",
  consumer: "trunkline-death-consumer",
  contract: "trunkline-death-contract",
  retryQueue: "trunkline-retry-queue",
} as const;
