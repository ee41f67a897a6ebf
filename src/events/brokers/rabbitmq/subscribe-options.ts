import type { RabbitmqSubscribeOptions } from "../../broker.ts";
import type { SubscriptionDemand } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import { partitionsMax, prefetchMax, prefetchPerHandler, shortStringBytesMax } from "./limits.ts";

/** What a subscription asks of RabbitMQ, with every default filled in. */
export interface SubscribeWish {
  readonly queue: string;
  readonly bindings: readonly string[];
  readonly prefetch: number;
  readonly queueType: "quorum" | "classic";
  readonly isSingleActive: boolean;
  readonly partitions: number | undefined;
  /** Whether keys keep their order. */
  readonly isOrdered: boolean;
  readonly warnings: readonly string[];
}

/** @throws BrokerError for options that mean nothing, and for demands that their queue cannot meet */
export function wishOf(demand: SubscriptionDemand): SubscribeWish {
  const options = demand.specific as RabbitmqSubscribeOptions;
  const problem = (text: string) => new BrokerError(`RabbitMQ: the subscription of "${demand.group}": ${text}`);
  const { partitions, singleActiveConsumer: isSingleActive = false, queueType = "quorum" } = options;
  if (queueType !== "quorum" && queueType !== "classic") {
    throw problem(`rabbitmq.queueType is "${queueType}"; it must be "quorum" or "classic"`);
  }
  if (partitions !== undefined && !isWhole(partitions, 1, partitionsMax)) {
    throw problem(`rabbitmq.partitions is ${partitions}; it must be a whole number from 1 to ${partitionsMax}`);
  }
  const isOrdered = isSingleActive || partitions !== undefined;
  if (demand.order !== "none" && !isOrdered) {
    throw problem(
      `order: "${demand.order}" needs rabbitmq.singleActiveConsumer (one member works at a time) or rabbitmq.partitions ` +
        "(one for each partition): competing consumers on one queue keep no order",
    );
  }
  if (demand.from === "beginning") {
    throw problem(
      'from: "beginning" cannot be had: a queue has what is published after it was made; leave it out or say "now"',
    );
  }
  const { concurrency, largestBatch, eventsAtOnce } = demand;
  const wanted = Math.max(concurrency * prefetchPerHandler, eventsAtOnce);
  const prefetch = options.prefetch ?? Math.min(wanted, prefetchMax);
  if (!isWhole(prefetch, 1, prefetchMax)) {
    throw problem(`rabbitmq.prefetch is ${prefetch}; it must be a whole number from 1 to ${prefetchMax}`);
  }
  if (prefetch < largestBatch) {
    throw problem(
      `rabbitmq.prefetch is ${prefetch}, and a batch handler's eventsMax ${largestBatch}: such a batch could never be full; ` +
        "raise rabbitmq.prefetch, leave it out, or lower eventsMax",
    );
  }
  const bindings = options.bindings ?? demand.types;
  for (const binding of bindings) {
    if (typeof binding !== "string" || Buffer.byteLength(binding) > shortStringBytesMax) {
      throw problem(
        `the binding "${String(binding).slice(0, 40)}" must be a text of at most ${shortStringBytesMax} bytes`,
      );
    }
  }
  const warnings: string[] = [];
  if (largestBatch > 1 && prefetch < eventsAtOnce) {
    warnings.push(
      `the subscription of "${demand.group}" has prefetch ${prefetch}, and its handlers take batches of up to ` +
        `${largestBatch}: no more than ${Math.floor(prefetch / largestBatch)} full ones at once; raise rabbitmq.prefetch`,
    );
  } else if (prefetch < concurrency) {
    warnings.push(
      `the subscription of "${demand.group}" has prefetch ${prefetch} and concurrency ${concurrency}: no more than ` +
        `${prefetch} handlers run at once; raise rabbitmq.prefetch or lower concurrency`,
    );
  }
  if (isOrdered && queueType === "classic") {
    warnings.push(
      `the subscription of "${demand.group}" wants order from classic queues: they do not count how often an event was ` +
        "delivered, so one that kills its process comes again without end; quorum queues count",
    );
  }
  return {
    queue: options.queue ?? demand.group,
    bindings,
    prefetch,
    queueType,
    isSingleActive: isOrdered,
    partitions,
    isOrdered,
    warnings,
  };
}

function isWhole(value: number, min: number, max: number): boolean {
  return Number.isInteger(value) && value >= min && value <= max;
}
