import type { KafkaSubscribeOptions, OnFailure, RabbitmqSubscribeOptions, SubscribeOptions } from "../broker.ts";
import type { BrokerCapabilities, Order, SubscriptionDemand } from "../driver.ts";
import { BrokerError } from "../errors.ts";
import type { EventHandler } from "../handler.ts";
import { choice, number, onlyKnown, quoted } from "../option-checks.ts";
import * as limits from "./limits.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

/** A subscription's options with all defaults. */
export interface CheckedSubscription {
  readonly demand: SubscriptionDemand;
  readonly onFailure: OnFailure;
  readonly schedule: RetrySchedule;
  readonly unknownTypes: "dead-letter" | "ignore";
  readonly handlerTimeoutMs: number;
}

const known = [
  "group",
  "concurrency",
  "order",
  "retry",
  "onFailure",
  "unknownTypes",
  "from",
  "handlerTimeoutMs",
  "middleware",
  "transactions",
  "rabbitmq",
  "kafka",
];
const knownRetry = ["maxAttempts", "immediate", "immediateDelayMs", "initialDelayMs", "factor", "maxDelayMs"];

const dayMs = 86_400_000;

/**
 * Holds a subscription's options against each other and against what the broker can do.
 * @throws BrokerError that names option, value and what to do
 */
export function checkSubscription(
  options: SubscribeOptions,
  handlers: readonly EventHandler[],
  broker: { readonly name: string; readonly capabilities: BrokerCapabilities },
): CheckedSubscription {
  onlyKnown("subscribe", options, known);
  const { group } = options;
  if (typeof group !== "string" || !/^[A-Za-z0-9._-]{1,200}$/.test(group)) {
    throw new BrokerError(`subscribe: group is ${quoted(group)}; it must be 1 to 200 of A-Z a-z 0-9 . _ -`);
  }
  const where = `subscribe (group ${group})`;
  if (handlers.length === 0) {
    throw new BrokerError(`${where}: there is no handler; pass at least one, made by on(Schema, event => …)`);
  }
  refuseDoubleHandlers(where, handlers);
  const order = orderOf(where, options, broker);
  const middleware = options.middleware ?? [];
  if (!Array.isArray(middleware) || middleware.some(one => typeof one !== "function")) {
    throw new BrokerError(`${where}: middleware must be a list of functions (event, delivery, next) => Promise`);
  }
  const concurrency = number(where, "concurrency", options.concurrency, limits.concurrencyDefault, 1, 100_000, true);
  const schedule = scheduleOf(where, options);
  const largestBatch = Math.max(1, ...handlers.map(({ batch }) => batch?.limits.eventsMax ?? 1));
  checkBatches(where, handlers, middleware, schedule);
  return {
    demand: {
      group,
      topics: [...new Set(handlers.map(({ event }) => event.topic))],
      types: [...new Set(handlers.map(({ event }) => event.type))],
      order,
      concurrency,
      largestBatch,
      eventsAtOnce: eventsAtOnce(concurrency, largestBatch),
      from: fromOf(where, options, broker),
      isTransactional: isTransactional(where, options, handlers, broker),
      specific: specificOf(options, broker.name),
    },
    onFailure: onFailureOf(where, options, order),
    schedule,
    unknownTypes: choice(where, "unknownTypes", options.unknownTypes, "dead-letter", ["dead-letter", "ignore"]),
    handlerTimeoutMs: number(where, "handlerTimeoutMs", options.handlerTimeoutMs, limits.handlerTimeoutMs, 1, dayMs),
  };
}

/** A subscription may say what it wants of several brokers, so that the URL alone chooses one. */
function specificOf({ rabbitmq, kafka }: SubscribeOptions, brokerName: string): Readonly<Record<string, unknown>> {
  const specific: RabbitmqSubscribeOptions | KafkaSubscribeOptions | undefined =
    brokerName === "rabbitmq" ? rabbitmq : brokerName === "kafka" ? kafka : undefined;
  return { ...specific };
}

function refuseDoubleHandlers(where: string, handlers: readonly EventHandler[]): void {
  const seen = new Map<string, string>();
  for (const { event } of handlers) {
    const name = `${event.topic} ${event.type}`;
    const other = seen.get(name);
    if (other !== undefined) {
      throw new BrokerError(
        `${where}: two handlers for ${event.type} on ${event.topic} (${other} and ${event.typeName}); give one handler, or subscribe with another group`,
      );
    }
    seen.set(name, event.typeName);
  }
}

function checkBatches(
  where: string,
  handlers: readonly EventHandler[],
  middleware: readonly unknown[],
  { maxAttempts }: RetrySchedule,
): void {
  const batched = handlers.find(({ batch }) => batch !== undefined);
  if (batched === undefined) return;
  const { type } = batched.event;
  if (middleware.length > 0) {
    throw new BrokerError(
      `${where}: middleware runs around single events, and ${type} has a batch handler; call what belongs around the batch in the handler itself`,
    );
  }
  if (maxAttempts < 2) {
    throw new BrokerError(
      `${where}: retry.maxAttempts is ${maxAttempts}, and ${type} has a batch handler: after a crash all events of a batch would be dead letters; use at least 2, or on(…)`,
    );
  }
}

/** Events that handlers have at once at most. */
function eventsAtOnce(concurrency: number, largestBatch: number): number {
  if (largestBatch === 1) return concurrency;
  const wanted = Math.min(concurrency * largestBatch, limits.batchedEventsAtOnceMax);
  return Math.max(wanted, concurrency, largestBatch * 2);
}

function orderOf(
  where: string,
  options: SubscribeOptions,
  { name, capabilities }: { readonly name: string; readonly capabilities: BrokerCapabilities },
): Order {
  const rabbitmq = name === "rabbitmq" ? options.rabbitmq : undefined;
  const oneConsumer = rabbitmq?.singleActiveConsumer === true || rabbitmq?.partitions !== undefined;
  const kept = oneConsumer ? "key" : capabilities.order;
  const order = choice(where, "order", options.order, kept, ["key", "partition", "none"]);
  if (order !== "none" && kept === "none") {
    const instead =
      name === "rabbitmq"
        ? "several consumers compete for a queue there; set rabbitmq.singleActiveConsumer or rabbitmq.partitions"
        : `use "none"`;
    throw new BrokerError(`${where}: order is "${order}", which ${name} does not keep as it is asked: ${instead}`);
  }
  if (order === "key" && kept === "partition") {
    throw new BrokerError(`${where}: order is "key", and ${name} keeps order only within a partition; use "partition"`);
  }
  return order;
}

function fromOf(
  where: string,
  options: SubscribeOptions,
  { name, capabilities }: { readonly name: string; readonly capabilities: BrokerCapabilities },
): "beginning" | "now" {
  const from = choice(where, "from", options.from, capabilities.replay ? "beginning" : "now", ["beginning", "now"]);
  if (from === "beginning" && !capabilities.replay) {
    throw new BrokerError(
      `${where}: from is "beginning", and ${name} keeps nothing for groups that do not exist yet; use "now", and subscribe before the first publish`,
    );
  }
  return from;
}

function isTransactional(
  where: string,
  { transactions = false }: SubscribeOptions,
  handlers: readonly EventHandler[],
  { name, capabilities }: { readonly name: string; readonly capabilities: BrokerCapabilities },
): boolean {
  if (typeof transactions !== "boolean") {
    throw new BrokerError(`${where}: transactions is ${quoted(transactions)}; it must be true or false`);
  }
  if (transactions && !capabilities.transactions) {
    throw new BrokerError(
      `${where}: transactions is true, and ${name} cannot make publishes and settlements durable together; publish through an outbox in the transaction of a database, or use Kafka`,
    );
  }
  const batch = transactions ? handlers.find(one => one.batch !== undefined) : undefined;
  if (batch !== undefined) {
    throw new BrokerError(
      `${where}: transactions is true, and ${batch.event.type} has a batch handler, whose publishes belong to no single event; use on(Schema, event => …): transactions take many events together anyhow`,
    );
  }
  return transactions;
}

function onFailureOf(where: string, options: SubscribeOptions, order: Order): OnFailure {
  const byDefault = order === "key" ? "park-key" : order === "partition" ? "block" : "unordered";
  const onFailure = choice(where, "onFailure", options.onFailure, byDefault, ["park-key", "block", "unordered"]);
  if (onFailure === "park-key" && order !== "key") {
    throw new BrokerError(
      `${where}: onFailure is "park-key", which keeps the order of keys, and order is "${order}"; use "${byDefault}", or order "key"`,
    );
  }
  return onFailure;
}

function scheduleOf(where: string, { retry = {} }: SubscribeOptions): RetrySchedule {
  onlyKnown(`${where}: retry`, retry, knownRetry);
  const maxAttempts = number(where, "retry.maxAttempts", retry.maxAttempts, limits.maxAttempts, 1, 1_000, true);
  const initialDelayMs = number(where, "retry.initialDelayMs", retry.initialDelayMs, limits.initialDelayMs, 0, dayMs);
  const longest = Math.max(initialDelayMs, limits.maxDelayMs);
  const maxDelayMs = number(where, "retry.maxDelayMs", retry.maxDelayMs, longest, 0, dayMs);
  if (maxDelayMs < initialDelayMs) {
    throw new BrokerError(
      `${where}: retry.maxDelayMs (${maxDelayMs}) is below retry.initialDelayMs (${initialDelayMs})`,
    );
  }
  return {
    maxAttempts,
    immediate: number(where, "retry.immediate", retry.immediate, limits.immediateAttempts, 0, 1_000, true),
    immediateDelayMs: number(
      where,
      "retry.immediateDelayMs",
      retry.immediateDelayMs,
      limits.immediateDelayMs,
      0,
      1_000,
    ),
    initialDelayMs,
    factor: number(where, "retry.factor", retry.factor, limits.delayFactor, 1, 100),
    maxDelayMs,
  };
}
