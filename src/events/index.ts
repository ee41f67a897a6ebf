/**
 * Events: one API and one set of guarantees over several brokers. May import `errors`, `platform`, `contract` and
 * `resilience`; knows nothing of calls.
 *
 * Start at `broker.ts`, what a user sees, and `driver.ts`, the port that each broker implements. Between them lie `runtime/`,
 * which decides what becomes of a delivered event, and `publisher.ts`, which gathers what is published.
 */

export type { AsyncApiDocument, AsyncApiOptions, AsyncApiRequest, AsyncApiServer } from "./asyncapi/index.ts";
export {
  type Batch,
  type BatchHandling,
  type BatchLimits,
  type BatchOptions,
  type HandleBatch,
  onBatch,
} from "./batch.ts";
export type {
  Broker,
  BrokerDescription,
  BrokerOptions,
  DrainOptions,
  GatherOptions,
  HeldLetter,
  KafkaBrokerOptions,
  KafkaOauthOptions,
  KafkaSubscribeOptions,
  Middleware,
  OauthToken,
  OnFailure,
  Published,
  PublishOptions,
  RabbitmqSubscribeOptions,
  RequestContract,
  RequestOptions,
  RetryScheduleOptions,
  SchemaRegistryOptions,
  SubscribeOptions,
  Subscription,
  SubscriptionDescription,
  SubscriptionStats,
  TailOptions,
} from "./broker.ts";
export { connectBroker } from "./connect.ts";
export { createBroker } from "./create-broker.ts";
export { type PostgresClient, type PostgresPool, type TransactionOptions, transaction } from "./database/index.ts";
export type { DeadLetter, DeadLetterEdit, DeadLetterFilter, DeadLetterReason, DeadLetterStore } from "./dead-letter.ts";
export type {
  BrokerCapabilities,
  BrokerDriver,
  ConnectDriver,
  DeathDetails,
  DriverContext,
  DriverSubscription,
  FoundSequence,
  GroupStatus,
  Lane,
  Order,
  ParkingPlace,
  PublishFailure,
  Recalled,
  RecordSink,
  RecordToPark,
  ReplyPort,
  SubscriptionDemand,
} from "./driver.ts";
export { BrokerError, Discard, PublishError, RetryLater } from "./errors.ts";
export { type Delivery, type EventHandler, type Handle, on } from "./handler.ts";
export { type Inbox, type InboxOptions, inbox } from "./inbox/index.ts";
export { type Outbox, type OutboxCounts, type OutboxEvent, type OutboxOptions, outbox } from "./outbox/index.ts";
export {
  continuedBy,
  defineProcess,
  type Effect,
  type Effects,
  type Instance,
  type NotFoundPolicy,
  type PassedOver,
  type Process,
  type ProcessChanged,
  type ProcessCleanUpFailed,
  type ProcessConflicted,
  type ProcessEvent,
  type ProcessEventOptions,
  type ProcessInput,
  type ProcessManager,
  type ProcessManagerEvent,
  type ProcessManagerOptions,
  type ProcessOptions,
  type ProcessPassedOver,
  type ProcessPublishOptions,
  processManager,
  type RunningTimeout,
  type StateOptions,
  startedBy,
  type TimeoutEvent,
} from "./process-manager/index.ts";
export type { AttemptHistory, EventAttributes, EventRecord, StoredRecord, WrappedMessage } from "./record.ts";
export { type HandleRequest, onRequest, type ReplyContract } from "./requests/index.ts";
export type {
  EventBatchAbandoned,
  EventBatchFailed,
  EventBatchHandled,
  EventDeadLettered,
  EventHandled,
  EventHandlerAbandoned,
  EventIgnored,
  EventMoveFailed,
  EventRetried,
  EventsEvent,
  EventsParked,
  EventsPublished,
  HandlingFailed,
  ParkingFailed,
  ParkingUnavailable,
  ReplyDropped,
  ReplyUnsent,
  RequestEnded,
  RequestExpired,
  RequestReplied,
  SubscriptionFailed,
} from "./runtime/observed.ts";
