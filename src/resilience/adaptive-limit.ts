import { Rejection } from "../errors/index.ts";
import type { Clock, Random } from "../platform/index.ts";
import {
  adaptiveBackOff,
  adaptiveCorrelation,
  adaptiveCorrelationSamples,
  adaptiveInitial,
  adaptiveLoopDelayMs,
  adaptiveLoopSampleMs,
  adaptiveMax,
  adaptiveMin,
  adaptiveProbeSamples,
  adaptiveProbeShare,
  adaptiveSampleCalls,
  adaptiveSampleMs,
  adaptiveSampleMsMin,
} from "./limits.ts";
import { LoadCorrelation } from "./load-correlation.ts";
import { contradiction, count, durationMs, knownOptions, numberOption } from "./options.ts";
import { machineOf, type PartOptions, type Priority, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";

export interface AdaptiveLimitOptions extends PartOptions {
  /** Limit of concurrent work at the start. @default 20 */
  readonly initial?: number | undefined;
  /** @default 1 */
  readonly min?: number | undefined;
  /** @default 1,000 */
  readonly max?: number | undefined;
  /** Delay of the event loop above which the process itself counts as overloaded, in milliseconds. @default 100 */
  readonly loopDelayMs?: number | undefined;
}

/** Share of the limit that each priority may fill. Critical work finds room when sheddable work is turned away. */
const shares: Readonly<Record<Priority, number>> = {
  critical_plus: 1.1,
  critical: 1,
  sheddable_plus: 0.8,
  sheddable: 0.5,
};

/**
 * A limit of concurrent work that finds its own value from latencies. For clients, and for servers that shed load. Made by
 * {@link adaptiveLimit}.
 *
 * Once per sample (a second, or 100 answers) the mean latency is compared with a baseline, the latency without queueing.
 * What is longer is queueing, and its length is `limit × (1 − baseline ÷ latency)`, as in TCP Vegas: below α the limit
 * grows, above β it shrinks, both by the order of its magnitude. Overload (refusals, time-outs, a late event loop)
 * shrinks it by a tenth.
 *
 * The weakness of that rule is the baseline. Under lasting overload no latency is free of queueing, so that a baseline that
 * follows takes the queue for normal, and the limit climbs for ever. Here the baseline goes up only by a look at it: now
 * and then the limit is halved, and when what was queued has gone, the latency of one sample is the new baseline. If half
 * of the work takes half of the time, it was queueing; if it takes as long, the target has become slower. Between two looks
 * the limit does not grow while latency follows our own concurrent work, or more work brings no more answers.
 */
export class AdaptiveLimit implements PermitOwner {
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #min: number;
  readonly #max: number;
  readonly #loopDelayMs: number;
  readonly #correlation = new LoadCorrelation(adaptiveCorrelationSamples);
  readonly #alone;
  #limit: number;
  #running = 0;
  #baselineMs = Number.NaN;
  /** What the limit is doing: working, letting the queue run empty, or looking at the latency without it. */
  #phase: "working" | "draining" | "looking" = "working";
  #drainedAtMs = 0;
  #samplesUntilLook = adaptiveProbeSamples / 3;
  /** Of permits: only those that were given since the queue ran empty tell the baseline. */
  #generation = 0;
  // The present sample.
  #sampleSinceMs = Number.NaN;
  #answers = 0;
  #latencySumMs = 0;
  #runningMax = 0;
  #isOverloaded = false;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: AdaptiveLimitOptions = {}, path = "adaptiveLimit") {
    knownOptions(path, options, [...partOptionNames, "initial", "min", "max", "loopDelayMs"]);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    this.#random = machine.random;
    this.#min = numberOption(`${path}.min`, options.min, adaptiveMin, count);
    this.#max = numberOption(`${path}.max`, options.max, Math.max(adaptiveMax, this.#min), count);
    const initialByDefault = Math.min(Math.max(adaptiveInitial, this.#min), this.#max);
    this.#limit = numberOption(`${path}.initial`, options.initial, initialByDefault, count);
    this.#loopDelayMs = numberOption(`${path}.loopDelayMs`, options.loopDelayMs, adaptiveLoopDelayMs, durationMs);
    if (this.#min > this.#max) throw contradiction(path, `min ${this.#min} is above max ${this.#max}`);
    if (this.#limit < this.#min || this.#limit > this.#max) {
      throw contradiction(`${path}.initial`, `${this.#limit} is outside of min ${this.#min} to max ${this.#max}`);
    }
    this.#alone = planOf(machine, { name: options.name, adaptiveLimit: this });
  }

  /** The present limit of concurrent work. */
  get limit(): number {
    if (this.#phase === "working") return Math.floor(this.#limit);
    return Math.max(this.#min, Math.floor(this.#limit * adaptiveProbeShare));
  }

  get running(): number {
    return this.#running;
  }

  /** The latency that counts as free of queueing, in milliseconds; NaN before the first sample. */
  get baselineMs(): number {
    return this.#baselineMs;
  }

  /** Asks for admission of one piece of work, now. @param priority sheddable work finds less room */
  acquire(priority: Priority = "critical", nowMs = this.#clock.now()): Admission {
    const limit = this.limit;
    if (this.#running >= Math.max(1, Math.floor(limit * shares[priority]))) {
      return new Rejection(this.#running >= limit ? "limit_reached" : "shed");
    }
    this.#running++;
    if (this.#running > this.#runningMax) this.#runningMax = this.#running;
    if (Number.isNaN(this.#sampleSinceMs)) this.#sampleSinceMs = nowMs;
    return new Permit(this, this.#generation, nowMs);
  }

  /** Guards one piece of work. @throws RejectedError `limit_reached`, `shed`; what the work throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }

  /** Tells how late the event loop is: a process that cannot keep up is overloaded whatever its latencies say. */
  reportLoopDelay(delayMs: number): void {
    if (delayMs >= this.#loopDelayMs) this.#isOverloaded = true;
  }

  /** Watches the delay of this process's event loop until the result is disposed of. */
  watchLoop(): Disposable {
    let isWatching = true;
    const look = (armedAtMs: number) => {
      if (!isWatching) return;
      const nowMs = this.#clock.now();
      this.reportLoopDelay(nowMs - armedAtMs - adaptiveLoopSampleMs);
      this.#endSample(nowMs);
      this.#clock.after(adaptiveLoopSampleMs, () => look(nowMs));
    };
    const startMs = this.#clock.now();
    this.#clock.after(adaptiveLoopSampleMs, () => look(startMs));
    return {
      [Symbol.dispose]() {
        isWatching = false;
      },
    };
  }

  /** For permits. */
  settle(permit: Permit, outcome: Outcome, kind: FailureKind, latencyMs: number): void {
    this.#running--;
    if (outcome === "ignore") return;
    const nowMs = Number.isNaN(latencyMs) ? this.#clock.now() : permit.admittedAtMs + latencyMs;
    if (outcome === "failure" && kind !== "error") {
      // Not a latency: a refusal is quick, and a time-out takes as long as it was allowed to.
      if (kind !== "unavailable") this.#isOverloaded = true;
    } else if (permit.generation === this.#generation) {
      this.#answers++;
      this.#latencySumMs += Math.max(0, nowMs - permit.admittedAtMs);
    }
    this.#endSample(nowMs);
  }

  #endSample(nowMs: number): void {
    const elapsedMs = nowMs - this.#sampleSinceMs;
    // A clock that stepped back begins the sample anew.
    if (elapsedMs < 0) this.#beginSample(nowMs);
    if (this.#phase === "draining") {
      if (nowMs < this.#drainedAtMs) return;
      this.#phase = "looking";
      this.#generation++;
      this.#beginSample(nowMs);
      return;
    }
    if (!(elapsedMs >= adaptiveSampleMsMin)) return;
    if (elapsedMs < adaptiveSampleMs && this.#answers < adaptiveSampleCalls) return;
    const latencyMs = this.#answers === 0 ? Number.NaN : Math.max(this.#latencySumMs / this.#answers, 1e-3);
    if (this.#phase === "looking") {
      this.#phase = "working";
      this.#samplesUntilLook = adaptiveProbeSamples + this.#random.below(adaptiveProbeSamples);
      if (this.#answers > 0) this.#baselineMs = latencyMs;
    } else this.#adjust(latencyMs, (this.#answers * 1_000) / elapsedMs, nowMs);
    this.#beginSample(nowMs);
  }

  #beginSample(nowMs: number): void {
    this.#sampleSinceMs = nowMs;
    this.#answers = 0;
    this.#latencySumMs = 0;
    this.#runningMax = this.#running;
    this.#isOverloaded = false;
  }

  /** @param latencyMs NaN when the sample had no answer */
  #adjust(latencyMs: number, perSecond: number, nowMs: number): void {
    const isUsed = this.#runningMax * 2 > this.#limit;
    if (this.#isOverloaded) this.#set(this.#limit * adaptiveBackOff);
    if (Number.isNaN(latencyMs)) return;
    this.#correlation.add(this.#runningMax, latencyMs, perSecond);
    if (!(latencyMs >= this.#baselineMs)) this.#baselineMs = latencyMs;
    const queue = this.#limit * (1 - this.#baselineMs / latencyMs);
    const magnitude = Math.max(1, Math.log10(this.#limit));
    // Far too high a limit must come down in samples, not in hours.
    const step = Math.max(magnitude, queue / 10);
    if (this.#isOverloaded) return;
    if (queue > 6 * magnitude) this.#set(this.#limit - step);
    // A limit that is not used says nothing about whether a higher one would be good.
    else if (queue < 3 * magnitude && isUsed && !this.#isLoadTheReason()) this.#set(this.#limit + magnitude);
    if (--this.#samplesUntilLook > 0 || !isUsed) return;
    this.#phase = "draining";
    this.#drainedAtMs = nowMs + Math.max(adaptiveSampleMsMin, 2 * latencyMs);
  }

  /** Whether longer latencies come from our own work at once, or more of it brings no more answers: both are queueing. */
  #isLoadTheReason(): boolean {
    return this.#correlation.latency > adaptiveCorrelation || this.#correlation.throughput < -adaptiveCorrelation;
  }

  #set(limit: number): void {
    this.#limit = Math.min(Math.max(limit, this.#min), this.#max);
  }
}

/**
 * A limit of concurrent work that adapts to what the target can do.
 *
 * ```ts
 * const limiter = adaptiveLimit({ max: 200 });
 * const permit = limiter.acquire("sheddable");
 * if (permit.rejected) throw permit.toError("reports");
 * ```
 *
 * TCP Vegas (Brakmo, Peterson 1995) as in Netflix's concurrency-limits, with a guard by correlation as in failsafe-go's
 * adaptive limiter; priorities are the criticalities of the SRE book.
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function adaptiveLimit(options: AdaptiveLimitOptions = {}): AdaptiveLimit {
  return new AdaptiveLimit(options);
}
