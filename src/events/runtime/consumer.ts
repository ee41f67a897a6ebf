import type { Observer, Platform } from "../../platform/index.ts";
import type { SubscriptionStats } from "../broker.ts";
import type { DriverSubscription, Lane, RecordSink } from "../driver.ts";
import type { StoredRecord } from "../record.ts";
import { Aftermath } from "./aftermath.ts";
import { Arrival } from "./arrival.ts";
import { Attempts } from "./attempts.ts";
import { BatchAttempts } from "./batch-attempts.ts";
import type { EventCatalog } from "./catalog.ts";
import { LaneState } from "./entry.ts";
import { Flow } from "./flow.ts";
import { Journal } from "./journal.ts";
import type { ConsumerPlan } from "./plan.ts";

/**
 * Decides what becomes of delivered records. Every one that comes in leaves by exactly one of: settled, given back
 * (`release`), or forgotten because its lane has gone. On its way it passes through
 *
 *     arrival.ts → flow.ts (key-scheduler.ts, intake.ts) → attempts.ts, batch-attempts.ts → aftermath.ts after a failure
 *
 * and `journal.ts` counts and tells what happens. Here are the lanes: how they come, go, and end.
 *
 * Pure but for the clock and the port it is given; nothing in it waits in a way that a test could not drive.
 */
export class Consumer implements RecordSink {
  readonly #journal: Journal;
  readonly #flow: Flow;
  readonly #aftermath: Aftermath;
  readonly #attempts: Attempts;
  readonly #batchAttempts: BatchAttempts;
  readonly #arrival: Arrival;
  readonly #lanes = new Map<Lane, LaneState>();
  readonly #onFailed: (error: Error) => void;

  /** @param onFailed the subscription cannot go on */
  constructor(
    plan: ConsumerPlan,
    catalog: EventCatalog,
    platform: Platform,
    observer: Observer,
    onFailed: (error: Error) => void,
  ) {
    const { clock, random } = platform;
    this.#journal = new Journal(plan.group, clock, observer);
    this.#flow = new Flow(plan, platform, this.#journal, {
      start: entry => this.#attempts.start(entry),
      isFit: entry => this.#attempts.isFit(entry),
      startBatch: batch => this.#batchAttempts.start(batch),
      receive: (lane, record, parkedKey) => this.#arrival.receive(lane, record, parkedKey),
    });
    this.#aftermath = new Aftermath(plan, clock, random, this.#journal, this.#flow);
    this.#attempts = new Attempts(plan, clock, this.#journal, this.#flow, this.#aftermath);
    this.#batchAttempts = new BatchAttempts(plan, clock, this.#journal, this.#flow);
    this.#arrival = new Arrival(plan, catalog, this.#journal, this.#attempts);
    this.#onFailed = onFailed;
  }

  /** The driver's half is there: records that have come meanwhile begin. */
  attach(subscription: DriverSubscription): void {
    this.#aftermath.attach(subscription);
    this.#flow.open();
  }

  stats(): SubscriptionStats {
    return { ...this.#journal.counts(), ...this.#flow.counts() };
  }

  opened(lane: Lane): void {
    const state = new LaneState(lane);
    this.#lanes.set(lane, state);
    this.#flow.openLane(state);
  }

  records(lane: Lane, records: readonly StoredRecord[]): void {
    const state = this.#lanes.get(lane);
    if (state?.phase !== "open") return;
    if (this.#flow.isStopped) {
      for (const record of records) lane.release(record);
      return;
    }
    for (const record of records) {
      const entry = this.#arrival.receive(state, record);
      if (entry === undefined) lane.settle(record);
      else this.#flow.add(entry);
    }
    this.#flow.arrived();
  }

  async revoke(lane: Lane, budgetMs: number): Promise<void> {
    const state = this.#lanes.get(lane);
    if (state === undefined) return;
    if (state.phase === "open") {
      state.phase = "revoking";
      this.#flow.forget(state);
    }
    if (state.running > 0) await this.#flow.laneIdle(state, budgetMs);
    this.lost(lane);
  }

  lost(lane: Lane): void {
    const state = this.#lanes.get(lane);
    if (state === undefined) return;
    this.#lanes.delete(lane);
    state.phase = "gone";
    this.#flow.closeLane(state);
    const reason = new Error(`${lane.name} has gone to another member of the group`);
    this.#attempts.abort(reason, state);
    this.#batchAttempts.abort(reason, state);
    state.idle?.();
  }

  failed(error: Error): void {
    this.#onFailed(error);
  }

  /** Gives back what has not begun; nothing begins any more. What runs goes on. */
  stop(): void {
    if (!this.#flow.isStopped) this.#flow.stop(this.#lanes.values());
  }

  /** Resolves when nothing runs any more, or `budgetMs` have passed: says which. */
  idle(budgetMs: number): Promise<boolean> {
    return this.#flow.idle(budgetMs);
  }

  /** Aborts the signals of all handlers that run. */
  abort(reason: Error): void {
    this.#attempts.abort(reason);
    this.#batchAttempts.abort(reason);
  }
}
