import { type Clock, currentWork, runInContext } from "../../platform/index.ts";
import { type Timed, TimeoutError, TimeoutQueue } from "../../resilience/index.ts";
import { RetryLater } from "../errors.ts";
import { HandlerDelivery } from "./delivery.ts";
import type { Entry, LaneState } from "./entry.ts";
import type { EntryBatch } from "./entry-batch.ts";
import type { Fate, Flow } from "./flow.ts";
import { HandlerBatch } from "./handler-batch.ts";
import type { Handling } from "./handling.ts";
import type { Journal } from "./journal.ts";
import { abandonedHandlerMs } from "./limits.ts";
import type { ConsumerPlan } from "./plan.ts";
import { isThenable } from "./thenable.ts";

/**
 * Runs batch handlers for batches of two events or more. One that throws says nothing of any single event: all go on alone,
 * and no attempt is counted. What it says of single events by `batch.fail` counts for these; what stands behind one of its
 * key goes on alone behind it, so that the last attempts of a key are in order. Entries on their own, whatever their handler,
 * are for `attempts.ts`.
 */
export class BatchAttempts {
  readonly #plan: ConsumerPlan;
  readonly #clock: Clock;
  readonly #journal: Journal;
  readonly #flow: Flow;
  readonly #deadlines: TimeoutQueue;
  readonly #abandonments: TimeoutQueue;
  readonly #running = new Set<BatchRun>();

  constructor(plan: ConsumerPlan, clock: Clock, journal: Journal, flow: Flow) {
    this.#plan = plan;
    this.#clock = clock;
    this.#journal = journal;
    this.#flow = flow;
    this.#deadlines = new TimeoutQueue(clock, plan.handlerTimeoutMs);
    this.#abandonments = new TimeoutQueue(clock, abandonedHandlerMs);
  }

  /** A batch has its turn. */
  start(batch: EntryBatch): void {
    let begun: Promise<unknown>[] | undefined;
    const failed = new Set<Entry>();
    for (const entry of batch.entries) {
      const begins = entry.source.begin?.(entry.record, entry.attempts);
      if (begins === undefined) continue;
      begun ??= [];
      begun.push(
        begins.catch((error: unknown) => {
          failed.add(entry);
          entry.moveFailures++;
          this.#journal.moveFailed(entry, "begin", error);
        }),
      );
    }
    if (begun === undefined) this.#handle(batch);
    else {
      void Promise.all(begun).then(() => {
        // An attempt that cannot be counted does not begin. Alone each has the pauses between further tries.
        if (failed.size > 0) this.#leave(batch, new Map(batch.entries.map(entry => [entry, this.#again(entry)])));
        else this.#handle(batch);
      });
    }
  }

  /** Aborts what runs, or what belongs to a lane; the signal of a batch when nothing else is left in it. */
  abort(reason: Error, lane?: LaneState): void {
    for (const run of this.#running) run.abort(reason, lane);
  }

  late(run: BatchRun, nowMs: number): void {
    if (run.isLate) {
      this.#journal.batchAbandoned(run.entries, nowMs - run.startedMs);
      return;
    }
    run.isLate = true;
    run.abort(new TimeoutError("attempt", `the handler had ${this.#plan.handlerTimeoutMs} ms`));
    this.#abandonments.add(run, nowMs);
  }

  #handle(batch: EntryBatch): void {
    const run = new BatchRun(this, batch, this.#plan, this.#clock);
    const { entries, view } = run;
    const handle = entries[0]?.handling?.batch?.handle;
    if (handle === undefined) {
      // All lanes have gone while the attempts were being counted.
      this.#leave(batch, new Map());
      return;
    }
    this.#running.add(run);
    this.#deadlines.add(run, run.startedMs);
    const events = entries.map(({ event }) => event as object);
    let result: unknown;
    try {
      result = runInContext(currentWork, view, () => handle(events, view));
    } catch (error) {
      this.#failed(run, error);
      return;
    }
    if (isThenable(result)) {
      result.then(
        () => this.#succeeded(run, view.failures),
        error => this.#failed(run, error),
      );
    } else this.#succeeded(run, view.failures);
  }

  #succeeded(run: BatchRun, failures: ReadonlyMap<number, unknown>): void {
    this.#ended(run);
    const durationMs = this.#clock.now() - run.startedMs;
    const fates = new Map<Entry, Fate>();
    const behind = this.#plan.onFailure === "unordered" ? undefined : new WaitingBehind();
    for (const [index, entry] of run.entries.entries()) {
      const hasFailed = failures.has(index);
      if (!hasFailed && behind?.has(entry)) {
        fates.set(entry, this.#again(entry));
        continue;
      }
      entry.attempts++;
      if (!hasFailed) {
        this.#journal.handled(entry);
        continue;
      }
      behind?.add(entry);
      const error = failures.get(index);
      entry.firstFailedAtMs ??= this.#clock.wall();
      entry.step = { kind: "failed", error };
      this.#journal.failed(entry, error);
      fates.set(entry, this.#again(entry));
    }
    this.#journal.batchHandled(run.entries, run.batch.bytes, durationMs, failures.size);
    this.#leave(run.batch, fates);
  }

  #failed(run: BatchRun, error: unknown): void {
    if (error instanceof RetryLater) {
      this.#succeeded(run, new Map(run.entries.map((_, index) => [index, error])));
      return;
    }
    this.#ended(run);
    this.#journal.batchFailed(run.entries, this.#clock.now() - run.startedMs, error);
    this.#leave(run.batch, new Map(run.entries.map(entry => [entry, this.#again(entry)])));
  }

  /** The handler has really ended. */
  #ended(run: BatchRun): void {
    this.#running.delete(run);
    this.#deadlines.remove(run);
    run.view.end();
    for (const entry of run.entries) entry.delivery = undefined;
  }

  /** It has another turn here, unless somebody else has it then. */
  #again({ lane }: Entry): Fate {
    if (lane.phase !== "open") return "forgotten";
    return this.#flow.isStopped ? "released" : "again";
  }

  #leave(batch: EntryBatch, fates: Map<Entry, Fate>): void {
    for (const entry of batch.entries) if (entry.lane.phase === "gone") fates.set(entry, "forgotten");
    this.#flow.leaveBatch(batch, fates);
  }
}

/** Keys of failed entries: what comes later in the same line waits for them. */
class WaitingBehind {
  readonly #lines = new Map<LaneState, Set<string>>();

  add({ lane, key }: Entry): void {
    if (key === undefined) return;
    const keys = this.#lines.get(lane) ?? new Set();
    this.#lines.set(lane, keys.add(key));
  }

  has({ lane, key }: Entry): boolean {
    return key !== undefined && this.#lines.get(lane)?.has(key) === true;
  }
}

/** One call of a batch handler. */
class BatchRun implements Timed {
  // Links of the queue of deadlines.
  next: Timed = this;
  previous: Timed = this;
  dueMs = 0;

  readonly batch: EntryBatch;
  /** Those of the batch whose lanes have not gone while their attempts were being counted. */
  readonly entries: readonly Entry[];
  readonly view: HandlerBatch;
  readonly startedMs: number;
  isLate = false;
  readonly #attempts: BatchAttempts;
  readonly #clock: Clock;
  readonly #deadlineMs: number;
  readonly #controller = new AbortController();

  constructor(attempts: BatchAttempts, batch: EntryBatch, { group, handlerTimeoutMs }: ConsumerPlan, clock: Clock) {
    this.batch = batch;
    this.entries = batch.entries.filter(({ lane }) => lane.phase !== "gone");
    this.startedMs = clock.now();
    this.#attempts = attempts;
    this.#clock = clock;
    this.#deadlineMs = this.startedMs + handlerTimeoutMs;
    const deliveries = this.entries.map(entry => {
      const { record, event } = entry;
      const { contract } = entry.handling as Handling;
      const key = record.key ?? contract.keyOf(event as object);
      const { attempts } = entry;
      entry.delivery = new HandlerDelivery(group, record, contract.type, key, attempts, clock, this.#deadlineMs);
      entry.startedMs = this.startedMs;
      return entry.delivery;
    });
    this.view = new HandlerBatch(deliveries, this);
  }

  get timeLeftMs(): number {
    return this.#deadlineMs - this.#clock.now();
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  abort(reason: Error, lane?: LaneState): void {
    let isAnyLeft = false;
    for (const entry of this.entries) {
      if (lane === undefined || entry.lane === lane) entry.delivery?.abort(reason);
      else isAnyLeft ||= entry.lane.phase !== "gone";
    }
    if (!isAnyLeft) this.#controller.abort(reason);
  }

  expire(nowMs: number): void {
    this.#attempts.late(this, nowMs);
  }
}
