import {
  type Clock,
  currentWork,
  type Observer,
  outsideContext,
  type Platform,
  runInContext,
  silentObserver,
} from "../../platform/index.ts";
import { backoffDelayMs, TimeoutError, TimeoutQueue } from "../../resilience/index.ts";
import type { OnFailure, SubscriptionStats } from "../broker.ts";
import type { DeadLetterReason } from "../dead-letter.ts";
import type { DriverSubscription, Lane, Order, RecordSink } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import type { EventCatalog, TopicTypes } from "./catalog.ts";
import { HandlerDelivery } from "./delivery.ts";
import { Entry, type EntryOwner, LaneState, type Step } from "./entry.ts";
import { exceptionText } from "./exception-text.ts";
import type { Handling } from "./handling.ts";
import { Intake, type IntakeLimits } from "./intake.ts";
import { KeyScheduler } from "./key-scheduler.ts";
import { abandonedHandlerMs, moveAgain } from "./limits.ts";
import type { EventsEvent } from "./observed.ts";
import { HandlerOutputs, handlerOutputs } from "./outputs.ts";
import { contractOf, judgeEvent, readEvent, typeText, Unreadable } from "./read-record.ts";
import { afterFailure, type RetrySchedule } from "./retry-schedule.ts";

/** What a subscription asks for, checked and with all defaults. */
export interface ConsumerPlan {
  readonly group: string;
  readonly concurrency: number;
  readonly order: Order;
  readonly onFailure: OnFailure;
  readonly schedule: RetrySchedule;
  readonly unknownTypes: "dead-letter" | "ignore";
  readonly handlerTimeoutMs: number;
  readonly limits: IntakeLimits;
  /** Whether the broker can bring a record back later. */
  readonly canRetryLater: boolean;
  /** By topic, then by type. */
  readonly handlings: ReadonlyMap<string, ReadonlyMap<string, Handling>>;
  /** Names this process in dead letters. */
  readonly consumer: string;
  /** Publishes through this become durable with the settlement, or not at all; `undefined`: they go on their own. */
  readonly transaction?: object | undefined;
}

interface Topic {
  readonly types: TopicTypes;
  readonly handlings: ReadonlyMap<string, Handling>;
}

const noHandlings: ReadonlyMap<string, Handling> = new Map();

/**
 * Decides what becomes of delivered records: from their arrival in lanes, through their turn (`key-scheduler.ts`), their
 * reading and their handler, to what follows. Every record that comes in leaves by exactly one of: settled, given back
 * (`release`), or forgotten because its lane has gone.
 *
 * Pure but for the clock and the port it is given; nothing in it waits in a way that a test could not drive.
 */
export class Consumer implements RecordSink, EntryOwner {
  readonly #plan: ConsumerPlan;
  readonly #platform: Platform;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #catalog: EventCatalog;
  readonly #topics = new Map<string, Topic>();
  readonly #lanes = new Map<Lane, LaneState>();
  readonly #scheduler: KeyScheduler;
  readonly #intake: Intake;
  readonly #deadlines: TimeoutQueue;
  readonly #abandonments: TimeoutQueue;
  readonly #running = new Set<Entry>();
  readonly #onFailed: (error: Error) => void;
  #subscription: DriverSubscription | undefined;
  #isStopped = false;
  #idle: (() => void) | undefined;

  #handled = 0;
  #ignored = 0;
  #failedAttempts = 0;
  #retried = 0;
  #deadLettered = 0;

  /** @param onFailed the subscription cannot go on */
  constructor(
    plan: ConsumerPlan,
    catalog: EventCatalog,
    platform: Platform,
    observer: Observer,
    onFailed: (error: Error) => void,
  ) {
    this.#plan = plan;
    this.#catalog = catalog;
    this.#platform = platform;
    this.#clock = platform.clock;
    this.#observer = observer;
    this.#onFailed = onFailed;
    this.#scheduler = new KeyScheduler(platform.clock, plan.concurrency, entry => this.#start(entry));
    this.#intake = new Intake(plan.limits);
    this.#deadlines = new TimeoutQueue(platform.clock, plan.handlerTimeoutMs);
    this.#abandonments = new TimeoutQueue(platform.clock, abandonedHandlerMs);
  }

  /** The driver's half is there: records that have come meanwhile begin. */
  attach(subscription: DriverSubscription): void {
    this.#subscription = subscription;
    this.#scheduler.dispatch();
  }

  stats(): SubscriptionStats {
    const { running, parked, parkedKeys } = this.#scheduler;
    return {
      handled: this.#handled,
      ignored: this.#ignored,
      failedAttempts: this.#failedAttempts,
      retried: this.#retried,
      deadLettered: this.#deadLettered,
      running,
      waiting: this.#intake.records - running,
      parkedKeys,
      parkedEvents: parked,
    };
  }

  // ── lanes ────────────────────────────────────────────────────────────────────────────────────────────────────────

  opened(lane: Lane): void {
    const state = new LaneState(lane);
    this.#lanes.set(lane, state);
    this.#scheduler.open(state);
    this.#intake.open(state);
  }

  records(lane: Lane, records: readonly StoredRecord[]): void {
    const state = this.#lanes.get(lane);
    if (state?.phase !== "open") return;
    if (this.#isStopped) {
      for (const record of records) lane.release(record);
      return;
    }
    for (const record of records) this.#admit(state, record);
    this.#intake.regulate(this.#scheduler.parked);
    this.#dispatch();
  }

  async revoke(lane: Lane, budgetMs: number): Promise<void> {
    const state = this.#lanes.get(lane);
    if (state === undefined) return;
    if (state.phase === "open") {
      state.phase = "revoking";
      this.#forgetWaiting(state);
    }
    if (state.running > 0) {
      await new Promise<void>(resolve => {
        const timer = outsideContext(() => this.#clock.after(budgetMs, resolve));
        state.idle = () => {
          timer.cancel();
          resolve();
        };
      });
    }
    this.lost(lane);
  }

  lost(lane: Lane): void {
    const state = this.#lanes.get(lane);
    if (state === undefined) return;
    this.#lanes.delete(lane);
    state.phase = "gone";
    this.#intake.forget(state);
    this.#forgetWaiting(state);
    for (const entry of this.#running) {
      if (entry.lane === state)
        entry.delivery?.abort(new Error(`${lane.name} has gone to another member of the group`));
    }
    state.idle?.();
  }

  failed(error: Error): void {
    this.#onFailed(error);
  }

  #forgetWaiting(state: LaneState): void {
    for (const entry of this.#scheduler.drop(state)) this.#leave(entry);
    this.#intake.regulate(this.#scheduler.parked);
    this.#dispatch();
  }

  /** An entry is over without having had its turn. */
  #leave(entry: Entry): void {
    entry.timer?.cancel();
    entry.timer = undefined;
    this.#intake.remove(entry.lane, entry.bytes, this.#scheduler.parked);
  }

  // ── drain ────────────────────────────────────────────────────────────────────────────────────────────────────────

  /** Gives back what has not begun; nothing begins any more. What runs goes on. */
  stop(): void {
    if (this.#isStopped) return;
    this.#isStopped = true;
    this.#scheduler.stop();
    for (const state of this.#lanes.values()) {
      for (const entry of this.#scheduler.drop(state)) {
        this.#leave(entry);
        if (state.phase === "open") state.lane.release(entry.record);
      }
    }
  }

  /** Resolves when nothing runs any more, or `budgetMs` have passed: says which. */
  idle(budgetMs: number): Promise<boolean> {
    if (this.#scheduler.running === 0) return Promise.resolve(true);
    return new Promise(resolve => {
      const timer = outsideContext(() => this.#clock.after(budgetMs, () => resolve(false), true));
      this.#idle = () => {
        timer.cancel();
        resolve(true);
      };
    });
  }

  /** Aborts the signals of all handlers that run. */
  abort(reason: Error): void {
    for (const entry of this.#running) entry.delivery?.abort(reason);
  }

  // ── arrival ──────────────────────────────────────────────────────────────────────────────────────────────────────

  #admit(state: LaneState, record: StoredRecord): void {
    const topic = this.#topic(record.topic);
    const contract = contractOf(record, topic.types);
    const handling = contract === undefined ? undefined : topic.handlings.get(contract.type);
    if (handling === undefined && (contract !== undefined || this.#plan.unknownTypes === "ignore")) {
      this.#ignored++;
      if (this.#observer !== silentObserver) {
        this.#emit(observed("events.ignored", this.#plan.group, record, contract?.type));
      }
      state.lane.settle(record);
      return;
    }
    const entry = new Entry(this, state, record, this.#orderKey(record));
    entry.handling = handling;
    if (handling === undefined) {
      entry.step = deadLetter(
        "unknown_type",
        `no loaded contract knows this event of ${record.topic}: ${typeText(record)}`,
      );
    } else if (this.#plan.order === "key" && entry.key === undefined) {
      // Only the body knows its key.
      if (this.#read(entry, handling)) entry.key = handling.contract.keyOf(entry.event as object);
    }
    this.#intake.add(state, entry.bytes);
    this.#scheduler.add(entry);
  }

  #topic(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { types: this.#catalog.topic(name), handlings: this.#plan.handlings.get(name) ?? noHandlings };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #orderKey(record: StoredRecord): string | undefined {
    switch (this.#plan.order) {
      case "key":
        return record.key;
      case "partition":
        return "";
      case "none":
        return undefined;
      default:
        return this.#plan.order satisfies never;
    }
  }

  /** Reads the event of an entry; `false`: it is for the dead letters. */
  #read(entry: Entry, handling: Handling): boolean {
    try {
      const event = readEvent(entry.record, handling.contract);
      if (handling.validate !== undefined) judgeEvent(event, handling.contract, handling.validate);
      entry.event = event;
      return true;
    } catch (error) {
      entry.step = deadLetter(error instanceof Unreadable ? error.reason : "invalid", (error as Error).message);
      return false;
    }
  }

  // ── its turn ─────────────────────────────────────────────────────────────────────────────────────────────────────

  #dispatch(): void {
    if (this.#subscription !== undefined) this.#scheduler.dispatch();
  }

  #start(entry: Entry): void {
    const { handling, record } = entry;
    if (handling === undefined || !this.#isFit(entry, handling)) {
      this.#move(entry);
      return;
    }
    const begun = entry.lane.lane.begin?.(record, entry.attempts);
    if (begun === undefined) this.#handle(entry, handling);
    else {
      begun.then(
        () => this.#handle(entry, handling),
        error => this.#moveFailed(entry, "begin", error),
      );
    }
  }

  /** Whether a handler gets it now; otherwise its step says what is done instead. */
  #isFit(entry: Entry, handling: Handling): boolean {
    if (entry.step.kind !== "handle") return false;
    const { expiresAtMs } = entry.record.attributes;
    if (expiresAtMs !== undefined && expiresAtMs <= this.#clock.wall()) {
      entry.step = deadLetter("expired", `it was not to be handled after ${new Date(expiresAtMs).toISOString()}`);
      return false;
    }
    if (entry.attempts >= this.#plan.schedule.maxAttempts) {
      entry.step = deadLetter("attempts", `${entry.attempts} attempts have begun, and the last one never ended`);
      return false;
    }
    return entry.event !== undefined || this.#read(entry, handling);
  }

  #handle(entry: Entry, handling: Handling): void {
    if (entry.lane.phase === "gone") {
      this.#finish(entry, false);
      return;
    }
    const { record } = entry;
    const event = entry.event as object;
    const nowMs = this.#clock.now();
    const key = record.key ?? handling.contract.keyOf(event);
    const { group, handlerTimeoutMs } = this.#plan;
    const { type } = handling.contract;
    const delivery = new HandlerDelivery(
      group,
      record,
      type,
      key,
      entry.attempts,
      this.#clock,
      nowMs + handlerTimeoutMs,
    );
    entry.attempts++;
    entry.delivery = delivery;
    entry.startedMs = nowMs;
    this.#running.add(entry);
    this.#deadlines.add(entry, nowMs);
    let result: unknown;
    try {
      result = runInContext(currentWork, delivery, () => this.#invoke(entry, handling, event, delivery));
    } catch (error) {
      this.#failed(entry, error);
      return;
    }
    if (isThenable(result)) {
      // Outside of the handler's context, so that what follows does not belong to it.
      result.then(
        () => this.#succeeded(entry),
        error => this.#failed(entry, error),
      );
    } else this.#succeeded(entry);
  }

  #invoke(entry: Entry, handling: Handling, event: object, delivery: HandlerDelivery): unknown {
    const { transaction } = this.#plan;
    if (transaction === undefined) return handling.invoke(event, delivery);
    const outputs = new HandlerOutputs(transaction);
    entry.outputs = outputs;
    return runInContext(handlerOutputs, outputs, () => handling.invoke(event, delivery));
  }

  late(entry: Entry, nowMs: number): void {
    const ranMs = nowMs - entry.startedMs;
    if (!entry.isLate) {
      entry.isLate = true;
      const { handlerTimeoutMs } = this.#plan;
      entry.delivery?.abort(new TimeoutError("attempt", `the handler had ${handlerTimeoutMs} ms`));
      this.#abandonments.add(entry, nowMs);
      return;
    }
    this.#emit({ ...this.#observed("events.handler.abandoned", entry), runningMs: ranMs });
  }

  /** The handler has really ended. */
  #ended(entry: Entry): void {
    this.#running.delete(entry);
    // Both queues link entries the same way.
    this.#deadlines.remove(entry);
    entry.isLate = false;
    entry.delivery = undefined;
    entry.outputs?.close();
  }

  #succeeded(entry: Entry): void {
    this.#ended(entry);
    this.#handled++;
    if (this.#observer !== silentObserver) {
      const durationMs = this.#clock.now() - entry.startedMs;
      this.#emit({ ...this.#observed("events.handled", entry), durationMs, attempt: entry.attempts - 1 });
    }
    this.#finish(entry, true);
  }

  #failed(entry: Entry, error: unknown): void {
    this.#ended(entry);
    entry.outputs = undefined;
    this.#failedAttempts++;
    entry.firstFailedAtMs ??= this.#clock.wall();
    const durationMs = this.#clock.now() - entry.startedMs;
    this.#emit({ ...this.#observed("events.failed", entry), durationMs, attempt: entry.attempts - 1, error });
    if (entry.lane.phase === "gone") this.#finish(entry, false);
    else this.#follow(entry, error);
  }

  #follow(entry: Entry, error: unknown): void {
    const { schedule, onFailure, canRetryLater } = this.#plan;
    const next = afterFailure(entry, error, schedule, this.#platform.random);
    if (next.kind === "dead") entry.step = deadLetter(next.reason, exceptionText(error));
    else if (next.kind === "delayed" && onFailure === "unordered" && canRetryLater) {
      entry.step = { kind: "retry-later", delayMs: next.delayMs };
    } else {
      this.#again(entry, next.delayMs);
      return;
    }
    this.#move(entry);
  }

  // ── what follows ─────────────────────────────────────────────────────────────────────────────────────────────────

  /** Another attempt here, after a delay. */
  #again(entry: Entry, delayMs: number): void {
    if (this.#isOver(entry)) return;
    this.#retried++;
    this.#emit({ ...this.#observed("events.retried", entry), delayMs, how: "held" });
    this.#hold(entry, delayMs, this.#plan.onFailure === "unordered");
  }

  #hold(entry: Entry, delayMs: number, isDetached: boolean): void {
    if (isDetached) this.#scheduler.detach(entry);
    else this.#scheduler.hold(entry, this.#plan.onFailure === "block");
    entry.timer = outsideContext(() =>
      this.#clock.after(delayMs, () => {
        entry.timer = undefined;
        this.#scheduler.unhold(entry);
        this.#intake.regulate(this.#scheduler.parked);
        this.#dispatch();
      }),
    );
    this.#intake.regulate(this.#scheduler.parked);
    this.#placeIsFree(entry.lane);
  }

  /** Whether there is no further attempt here, because the lane goes or the subscription drains: somebody else has it then. */
  #isOver(entry: Entry): boolean {
    const { phase, lane } = entry.lane;
    if (phase === "open" && !this.#isStopped) return false;
    if (phase === "open") lane.release(entry.record);
    this.#finish(entry, false);
    return true;
  }

  /** Hands an entry to the broker, for later or for good; then it is settled. */
  #move(entry: Entry): void {
    const { record, step, attempts, firstFailedAtMs } = entry;
    const subscription = this.#subscription as DriverSubscription;
    let moved: Promise<void>;
    if (step.kind === "retry-later") {
      moved = subscription.retryLater(record, step.delayMs, { attempts, firstFailedAtMs });
    } else if (step.kind === "dead-letter") {
      moved = subscription.deadLetter(record, {
        attempts,
        firstFailedAtMs,
        reason: step.reason,
        exception: step.exception,
        consumer: this.#plan.consumer,
        contract: entry.handling?.contract.typeName,
      });
    } else throw new Error("an entry without a move was moved");
    moved.then(
      () => this.#moved(entry, step),
      error => this.#moveFailed(entry, step.kind, error),
    );
  }

  #moved(entry: Entry, step: Exclude<Step, { kind: "handle" }>): void {
    if (step.kind === "retry-later") {
      this.#retried++;
      this.#emit({ ...this.#observed("events.retried", entry), delayMs: step.delayMs, how: "moved" });
    } else {
      this.#deadLettered++;
      const { reason } = step;
      this.#emit({ ...this.#observed("events.dead_lettered", entry), reason, attempts: entry.attempts });
    }
    this.#finish(entry, true);
  }

  /** The broker did not take it. It is not lost: the entry keeps its key, and it is tried again. */
  #moveFailed(entry: Entry, what: "begin" | "retry-later" | "dead-letter", error: unknown): void {
    entry.moveFailures++;
    const failures = entry.moveFailures;
    this.#emit({ ...this.#observed("events.move.failed", entry), what, failures, error });
    if (this.#isOver(entry)) return;
    this.#hold(entry, backoffDelayMs(moveAgain, failures, 0, this.#platform.random), false);
  }

  #finish(entry: Entry, isSettled: boolean): void {
    const { lane } = entry;
    if (isSettled && lane.phase !== "gone") settle(lane.lane, entry);
    this.#scheduler.done(entry);
    this.#intake.remove(lane, entry.bytes, this.#scheduler.parked);
    this.#placeIsFree(lane);
  }

  #placeIsFree(lane: LaneState): void {
    if (lane.running === 0) lane.idle?.();
    this.#dispatch();
    if (this.#idle !== undefined && this.#scheduler.running === 0) this.#idle();
  }

  #emit(event: EventsEvent): void {
    this.#observer.emit(event);
  }

  #observed<T extends string>(type: T, entry: Entry) {
    return observed(type, this.#plan.group, entry.record, entry.handling?.contract.type);
  }
}

function observed<T extends string>(type: T, group: string, record: StoredRecord, eventType: string | undefined) {
  return { type, group, topic: record.topic, eventType: eventType ?? record.attributes.type, place: record.place };
}

function settle(lane: Lane, { record, outputs }: Entry): void {
  if (outputs === undefined || lane.settleWith === undefined) lane.settle(record);
  else lane.settleWith(record, outputs.close());
}

function deadLetter(reason: DeadLetterReason, exception: string): Step {
  return { kind: "dead-letter", reason, exception };
}

function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === "object" && value !== null && typeof (value as PromiseLike<unknown>).then === "function";
}
