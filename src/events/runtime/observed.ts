import type { ErrorCode } from "../../errors/index.ts";
import type { DeadLetterReason } from "../dead-letter.ts";

/** What all that is observed of an event says. */
interface OfEvent {
  readonly group: string;
  readonly topic: string;
  /** As the record or its contract has it; `undefined` where neither does. */
  readonly eventType: string | undefined;
  /** Where the record is: `orders/3@1289`. */
  readonly place: string;
}

/** A handler has returned. */
export interface EventHandled extends OfEvent {
  readonly type: "events.handled";
  readonly durationMs: number;
  /** Attempts before the one that succeeded. */
  readonly attempt: number;
}

/** A handler has thrown. */
export interface HandlingFailed extends OfEvent {
  readonly type: "events.failed";
  readonly durationMs: number;
  readonly attempt: number;
  readonly error: unknown;
}

/** Another attempt is decided on. */
export interface EventRetried extends OfEvent {
  readonly type: "events.retried";
  readonly delayMs: number;
  /**
   * `held`: here, unacknowledged, later ones of its key behind it. `parked`: so at the broker. `moved`: by the broker, the
   * others go on.
   */
  readonly how: "held" | "parked" | "moved";
}

/** Events whose keys wait for another attempt have moved from memory to the group's parking place at the broker. */
export interface EventsParked {
  readonly type: "events.parked";
  readonly group: string;
  /** Where they came from: `orders/3`. */
  readonly lane: string;
  readonly events: number;
  readonly keys: number;
}

/** The parking place did not take or give events; it is asked again. */
export interface ParkingFailed {
  readonly type: "events.parking.failed";
  readonly group: string;
  readonly lane: string;
  readonly what: "park" | "recall";
  readonly failures: number;
  readonly error: unknown;
}

export interface EventDeadLettered extends OfEvent {
  readonly type: "events.dead_lettered";
  readonly reason: DeadLetterReason;
  readonly attempts: number;
}

/** A known type that the subscription does not handle, or an unknown one that its options ignore. */
export interface EventIgnored extends OfEvent {
  readonly type: "events.ignored";
}

/** A handler goes on long after its deadline and its signal; it keeps its place among the concurrent ones. */
export interface EventHandlerAbandoned extends OfEvent {
  readonly type: "events.handler.abandoned";
  readonly runningMs: number;
}

/** What all that is observed of a batch says. */
interface OfBatch {
  readonly group: string;
  /** Of its first event, like the type. */
  readonly topic: string;
  readonly eventType: string | undefined;
  readonly events: number;
}

/** A batch handler has returned for two events or more; each of them is told as `events.handled` or `events.failed` too. */
export interface EventBatchHandled extends OfBatch {
  readonly type: "events.batch.handled";
  /** Of their bodies. */
  readonly bytes: number;
  readonly durationMs: number;
  /** Events of it that the handler said had failed. */
  readonly failed: number;
}

/** A batch handler has thrown for two events or more: each goes on alone, and no attempt is counted. */
export interface EventBatchFailed extends OfBatch {
  readonly type: "events.batch.failed";
  readonly durationMs: number;
  readonly error: unknown;
}

/** A batch handler goes on long after its deadline and its signal; it keeps its place among the concurrent ones. */
export interface EventBatchAbandoned extends OfBatch {
  readonly type: "events.batch.abandoned";
  readonly runningMs: number;
}

/** The broker did not take a dead letter, a retry or the mark of an attempt; it is tried again. */
export interface EventMoveFailed extends OfEvent {
  readonly type: "events.move.failed";
  readonly what: "dead-letter" | "retry-later" | "begin";
  readonly failures: number;
  readonly error: unknown;
}

/** A request was not handled, or not again, because nobody waits for its reply any more. */
export interface RequestExpired extends OfEvent {
  readonly type: "events.request.expired";
  /** Attempts that had begun. */
  readonly attempts: number;
}

/** A reply was handed to the broker, or an error in its place. */
export interface RequestReplied extends Omit<OfEvent, "group"> {
  readonly type: "events.replied";
  readonly code: ErrorCode | "ok";
}

/** A reply has reached nobody. The request counts as done. */
export interface ReplyUnsent extends Omit<OfEvent, "group"> {
  readonly type: "events.reply.unsent";
  readonly code: ErrorCode | "ok";
  readonly why: string;
}

/** A request of this process has ended. */
export interface RequestEnded {
  readonly type: "events.requested";
  readonly topic: string;
  readonly eventType: string;
  readonly code: ErrorCode | "ok";
  readonly durationMs: number;
}

/** A reply came that nobody waits for: too late, or for the second time. */
export interface ReplyDropped {
  readonly type: "events.reply.dropped";
  readonly correlationId: string | undefined;
  readonly place: string;
}

/** The broker has no parking place for a group: when too many of its events are parked, their partitions pause. */
export interface ParkingUnavailable {
  readonly type: "events.parking.unavailable";
  readonly group: string;
  /** Says what is missing and what to do. */
  readonly error: Error;
}

/** A subscription could not go on. */
export interface SubscriptionFailed {
  readonly type: "events.subscription.failed";
  readonly group: string;
  readonly error: Error;
}

/** A batch of publishes has ended. */
export interface EventsPublished {
  readonly type: "events.published";
  readonly records: number;
  readonly refused: number;
  readonly durationMs: number;
}

/** What the events layer tells its observer; drivers have their own beside it. */
export type EventsEvent =
  | EventHandled
  | HandlingFailed
  | EventRetried
  | EventDeadLettered
  | EventIgnored
  | EventHandlerAbandoned
  | EventBatchHandled
  | EventBatchFailed
  | EventBatchAbandoned
  | EventMoveFailed
  | EventsParked
  | ParkingFailed
  | ParkingUnavailable
  | RequestExpired
  | RequestReplied
  | ReplyUnsent
  | RequestEnded
  | ReplyDropped
  | SubscriptionFailed
  | EventsPublished;
