import { Rejection } from "../errors/index.ts";
import type { Clock, Random } from "../platform/index.ts";
import { ChangeListeners } from "./change-listeners.ts";
import type { Classify } from "./classify.ts";
import {
  breakerFailures,
  breakerMinimumCalls,
  breakerOpenFactor,
  breakerOpenInitialMs,
  breakerOpenMsMax,
  breakerProbes,
  breakerRatio,
  breakerWindowBuckets,
  breakerWindowMs,
} from "./limits.ts";
import { contradiction, count, durationMs, functionOption, knownOptions, numberOption, share } from "./options.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Admission, type FailureKind, type Outcome, Permit, type PermitOwner } from "./permit.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";
import { SlidingWindow } from "./sliding-window.ts";

export type BreakerState = "closed" | "open" | "half_open" | "forced_open" | "forced_closed";

export interface BreakerChange {
  readonly from: BreakerState;
  readonly to: BreakerState;
  readonly reason:
    | "failures"
    | "ratio"
    | "slow"
    | "open_time_over"
    | "probe_failed"
    | "probe_expired"
    | "recovered"
    | "forced"
    | "reset";
  /** Monotonic time in milliseconds. */
  readonly atMs: number;
}

export interface BreakerOptions extends PartOptions {
  /** Consecutive failures that open it; `false`: no such rule. Given without `ratio`, it is the only rule. @default 5 */
  readonly failures?: number | false | undefined;
  /** Failing share of the calls of the window that opens it; `false`: no such rule. @default 0.5 */
  readonly ratio?: number | false | undefined;
  /** Calls that the window must hold before a share counts. @default 20 */
  readonly minimumCalls?: number | undefined;
  /** Length of the sliding window in milliseconds. @default 10,000 */
  readonly windowMs?: number | undefined;
  /** A call that takes longer is slow, in milliseconds. Without it, nothing is. */
  readonly slowMs?: number | undefined;
  /** Slow share of the window that opens it. @default 0.5 when `slowMs` is given */
  readonly slowRatio?: number | undefined;
  /**
   * How long it stays open before it admits probes, in milliseconds. A number is constant; otherwise it doubles from
   * `initialMs` to `maxMs` while probes fail, half of it at random. @default { initialMs: 5_000, maxMs: 300_000 }
   */
  readonly openMs?:
    | number
    | { readonly initialMs?: number | undefined; readonly maxMs?: number | undefined }
    | undefined;
  /** Calls that a half-open breaker admits, and that must succeed to close it. @default 1 */
  readonly probes?: number | undefined;
  /**
   * How long a probe may take before it counts as failed, in milliseconds.
   * @default the attempt's time-out where the policy has one, otherwise the open time
   */
  readonly leaseMs?: number | undefined;
  /** Which errors are failures of the target. @default {@link classifyError} */
  readonly classify?: Classify | undefined;
}

const optionNames = [
  ...partOptionNames,
  "failures",
  "ratio",
  "minimumCalls",
  "windowMs",
  "slowMs",
  "slowRatio",
  "openMs",
  "probes",
  "leaseMs",
  "classify",
];

const series = { calls: 0, failures: 1, slow: 2 } as const;

/** A probe that has not answered yet. */
interface Probe {
  readonly permit: Permit;
  /** Monotonic time in milliseconds at which it counts as failed. */
  readonly leaseUntilMs: number;
}

/**
 * A circuit breaker: stops calling what keeps failing, and tries it again with a few probes. Made by {@link breaker}.
 *
 * ```text
 *            failures, failing or slow share              open time over
 *   closed ──────────────────────────────────▶ open ──────────────────────▶ half-open
 *     ▲                                          ▲      a probe fails, or its   │
 *     │                                          └───── lease ends ─────────────┤
 *     └───────────────────────────────── all probes succeed ────────────────────┘
 * ```
 *
 * Every change begins a generation. A result of an older generation is counted in `lateResults` and changes nothing.
 */
export class Breaker implements PermitOwner {
  readonly name: string | undefined;
  /** The rule for errors, when the breaker has its own. */
  readonly classify: Classify | undefined;
  /** Whether settling needs the latency. */
  readonly measuresLatency: boolean;
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #failures: number;
  readonly #ratio: number;
  readonly #minimumCalls: number;
  readonly #slowMs: number;
  readonly #slowRatio: number;
  readonly #openInitialMs: number;
  readonly #openMsMax: number;
  readonly #isOpenConstant: boolean;
  readonly #probes: number;
  readonly #leaseMs: number | undefined;
  readonly #window: SlidingWindow | undefined;
  readonly #windowMs: number;
  readonly #listeners: ChangeListeners<BreakerChange>;
  readonly #alone;

  #state: BreakerState = "closed";
  #generation = 0;
  #sequence = 0;
  #consecutive = 0;
  /** Time-outs of opening in a row, without a stable recovery between them. */
  #growth = 0;
  #openedAtMs = 0;
  #openForMs = 0;
  #closedAtMs = Number.NEGATIVE_INFINITY;
  #probesOut: Probe[] = [];
  #probesSucceeded = 0;
  #cause: object | undefined;
  #causeSequence = 0;
  #rejected = 0;
  #lateResults = 0;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: BreakerOptions = {}, path = "breaker") {
    knownOptions(path, options, optionNames);
    const machine = machineOf(options);
    this.#clock = machine.clock;
    this.#random = machine.random;
    this.name = options.name;
    this.classify = options.classify;
    functionOption(`${path}.classify`, options.classify);
    const { failures } = options;
    const ratio = options.ratio ?? (typeof failures === "number" ? false : breakerRatio);
    this.#failures =
      failures === false
        ? Number.POSITIVE_INFINITY
        : numberOption(`${path}.failures`, failures, breakerFailures, count);
    this.#ratio =
      ratio === false ? Number.POSITIVE_INFINITY : numberOption(`${path}.ratio`, ratio, breakerRatio, share);
    this.#minimumCalls = numberOption(`${path}.minimumCalls`, options.minimumCalls, breakerMinimumCalls, count);
    this.#windowMs = numberOption(`${path}.windowMs`, options.windowMs, breakerWindowMs, { ...durationMs, min: 10 });
    const hasSlow = options.slowMs !== undefined;
    this.#slowMs = hasSlow ? numberOption(`${path}.slowMs`, options.slowMs, 0, durationMs) : Number.POSITIVE_INFINITY;
    this.#slowRatio = numberOption(`${path}.slowRatio`, options.slowRatio, breakerRatio, share);
    this.#probes = numberOption(`${path}.probes`, options.probes, breakerProbes, { ...count, max: 1_000 });
    this.#leaseMs =
      options.leaseMs === undefined ? undefined : numberOption(`${path}.leaseMs`, options.leaseMs, 0, durationMs);
    if (failures === false && ratio === false && !hasSlow) {
      throw contradiction(
        path,
        "failures and ratio are both false and slowMs is not set, so that nothing could open it",
      );
    }
    if (options.slowRatio !== undefined && !hasSlow) {
      throw contradiction(`${path}.slowRatio`, "means nothing without slowMs, which says when a call is slow");
    }
    const hasWindow = ratio !== false || hasSlow;
    for (const name of ["minimumCalls", "windowMs"] as const) {
      if (options[name] !== undefined && !hasWindow) {
        throw contradiction(
          `${path}.${name}`,
          "means nothing without ratio or slowMs (failures without ratio switches the ratio off)",
        );
      }
    }
    const open = options.openMs;
    this.#isOpenConstant = typeof open === "number";
    if (typeof open === "number") {
      this.#openInitialMs = numberOption(`${path}.openMs`, open, 0, durationMs);
      this.#openMsMax = this.#openInitialMs;
    } else {
      if (open !== undefined) knownOptions(`${path}.openMs`, open, ["initialMs", "maxMs"]);
      this.#openInitialMs = numberOption(`${path}.openMs.initialMs`, open?.initialMs, breakerOpenInitialMs, durationMs);
      const maxByDefault = Math.max(breakerOpenMsMax, this.#openInitialMs);
      this.#openMsMax = numberOption(`${path}.openMs.maxMs`, open?.maxMs, maxByDefault, durationMs);
      if (this.#openMsMax < this.#openInitialMs) {
        throw contradiction(`${path}.openMs`, `maxMs ${this.#openMsMax} is below initialMs ${this.#openInitialMs}`);
      }
    }
    this.#window = hasWindow ? new SlidingWindow(this.#windowMs, breakerWindowBuckets, 3) : undefined;
    this.measuresLatency = hasWindow;
    this.#listeners = new ChangeListeners(machine.clock);
    this.#alone = planOf(machine, { name: options.name, breaker: this });
  }

  /** The present state. A lease that has ended and a time that is over are taken into account when work asks. */
  get state(): BreakerState {
    this.#expireLeases(this.#clock.now());
    return this.#state;
  }

  /** Begins with 0 and grows with every change of the state. */
  get generation(): number {
    return this.#generation;
  }

  /** Work that was not admitted, since the beginning. */
  get rejected(): number {
    return this.#rejected;
  }

  /** Results that came after the state that admitted their work was over. */
  get lateResults(): number {
    return this.#lateResults;
  }

  /** Hears of every change of the state. The function returned ends it. */
  subscribe(listener: (change: BreakerChange) => void): () => void {
    return this.#listeners.add(listener);
  }

  /**
   * Asks for admission of one piece of work, now. Never waits: a half-open breaker rejects what is beyond its probes.
   *
   * @param nowMs monotonic time, when it was read already
   * @param leaseMs for a probe, when the breaker has no `leaseMs` of its own: the attempt's time-out
   */
  acquire(nowMs = this.#clock.now(), leaseMs?: number): Admission {
    if (this.#state === "closed" || this.#state === "forced_closed") {
      return new Permit(this, this.#generation, nowMs, this.#sequence++);
    }
    return this.#acquireOpen(nowMs, leaseMs);
  }

  /** Guards one piece of work. @throws RejectedError `breaker_open`; what the work throws */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }

  /** Rejects everything until `reset` or `forceClosed`: for operators. */
  forceOpen(): void {
    this.#change("forced_open", "forced", this.#clock.now());
  }

  /** Admits everything until `reset` or `forceOpen`, whatever fails. */
  forceClosed(): void {
    this.#change("forced_closed", "forced", this.#clock.now());
  }

  /** Closes it and forgets all failures. */
  reset(): void {
    this.#growth = 0;
    this.#closedAtMs = Number.NEGATIVE_INFINITY;
    this.#change("closed", "reset", this.#clock.now());
  }

  /** For permits. */
  settle(permit: Permit, outcome: Outcome, _kind: FailureKind, latencyMs: number, cause: object | undefined): void {
    if (permit.generation !== this.#generation) {
      this.#lateResults++;
      return;
    }
    if (this.#state === "closed") this.#settleClosed(permit, outcome, latencyMs, cause);
    else if (this.#state === "half_open") this.#settleProbe(permit, outcome, latencyMs);
  }

  #settleClosed(permit: Permit, outcome: Outcome, latencyMs: number, cause: object | undefined): void {
    if (outcome === "ignore") return;
    const window = this.#window;
    if (outcome === "success") {
      this.#consecutive = 0;
      if (window === undefined) return;
      const nowMs = this.#settledAt(permit, latencyMs);
      window.add(nowMs, series.calls);
      if (nowMs - permit.admittedAtMs <= this.#slowMs) return;
      window.add(nowMs, series.slow);
      if (this.#isShareReached(series.slow, this.#slowRatio)) this.#open("slow", nowMs);
      return;
    }
    if (this.#isSameCause(permit, cause)) return;
    const nowMs = this.#settledAt(permit, latencyMs);
    const consecutive = ++this.#consecutive;
    if (window !== undefined) {
      window.add(nowMs, series.calls);
      window.add(nowMs, series.failures);
      if (nowMs - permit.admittedAtMs > this.#slowMs) window.add(nowMs, series.slow);
    }
    if (consecutive >= this.#failures) this.#open("failures", nowMs);
    else if (this.#isShareReached(series.failures, this.#ratio)) this.#open("ratio", nowMs);
    else if (this.#slowMs !== Number.POSITIVE_INFINITY && this.#isShareReached(series.slow, this.#slowRatio)) {
      this.#open("slow", nowMs);
    }
  }

  #settleProbe(permit: Permit, outcome: Outcome, latencyMs: number): void {
    const nowMs = this.#settledAt(permit, latencyMs);
    this.#expireLeases(nowMs);
    if (permit.generation !== this.#generation) {
      this.#lateResults++;
      return;
    }
    this.#probesOut = this.#probesOut.filter(probe => probe.permit !== permit);
    if (outcome === "ignore") return;
    const isSlow = nowMs - permit.admittedAtMs > this.#slowMs;
    if (outcome === "failure" || isSlow) {
      this.#open("probe_failed", nowMs);
      return;
    }
    this.#probesSucceeded++;
    if (this.#probesSucceeded < this.#probes) return;
    this.#closedAtMs = nowMs;
    this.#change("closed", "recovered", nowMs);
  }

  #settledAt(permit: Permit, latencyMs: number): number {
    return Number.isNaN(latencyMs) ? this.#clock.now() : permit.admittedAtMs + latencyMs;
  }

  #isShareReached(which: number, bound: number): boolean {
    if (this.#window === undefined || bound === Number.POSITIVE_INFINITY) return false;
    const calls = this.#window.total(series.calls);
    return calls >= this.#minimumCalls && this.#window.total(which) / calls >= bound;
  }

  /**
   * Whether a failure was counted already: work that was under way when its cause was first seen, a lost connection for
   * example, fails together and says only once that the target is bad.
   */
  #isSameCause(permit: Permit, cause: object | undefined): boolean {
    if (cause === undefined) return false;
    if (cause === this.#cause && permit.sequence < this.#causeSequence) return true;
    this.#cause = cause;
    this.#causeSequence = this.#sequence;
    return false;
  }

  #acquireOpen(nowMs: number, leaseMs: number | undefined): Admission {
    this.#expireLeases(nowMs);
    if (this.#state === "open") {
      // A clock that stepped back must not prolong the open time.
      if (nowMs < this.#openedAtMs) this.#openedAtMs = nowMs;
      const leftMs = this.#openedAtMs + this.#openForMs - nowMs;
      if (leftMs > 0) return this.#reject(leftMs);
      this.#change("half_open", "open_time_over", nowMs);
    }
    if (this.#state !== "half_open") return this.#reject(undefined);
    if (this.#probesOut.length + this.#probesSucceeded >= this.#probes) return this.#reject(undefined);
    const lease = this.#leaseMs ?? leaseMs ?? this.#openForMs;
    const permit = new Permit(this, this.#generation, nowMs, this.#sequence++);
    this.#probesOut.push({ permit, leaseUntilMs: nowMs + lease });
    return permit;
  }

  #reject(retryAfterMs: number | undefined): Rejection {
    this.#rejected++;
    return new Rejection("breaker_open", retryAfterMs);
  }

  /** A probe that has not answered when its lease ends has failed: it would block recovery for ever. */
  #expireLeases(nowMs: number): void {
    if (this.#state !== "half_open") return;
    for (const probe of this.#probesOut) {
      if (probe.leaseUntilMs > nowMs) continue;
      this.#open("probe_expired", nowMs);
      return;
    }
  }

  #open(reason: BreakerChange["reason"], nowMs: number): void {
    // Who fails again soon after a recovery has not recovered: flapping targets are asked less and less often.
    const isRelapse = this.#state === "half_open" || nowMs - this.#closedAtMs < this.#windowMs;
    this.#growth = isRelapse ? this.#growth + 1 : 0;
    this.#openedAtMs = nowMs;
    this.#openForMs = this.#nextOpenMs();
    this.#change("open", reason, nowMs);
  }

  /** Half of the time is certain, half is random, so that the clients of one target do not probe it together. */
  #nextOpenMs(): number {
    if (this.#isOpenConstant) return this.#openInitialMs;
    const grown = Math.min(this.#openInitialMs * breakerOpenFactor ** this.#growth, this.#openMsMax);
    return grown / 2 + (grown / 2) * this.#random.next();
  }

  #change(to: BreakerState, reason: BreakerChange["reason"], atMs: number): void {
    const from = this.#state;
    this.#state = to;
    this.#generation++;
    this.#consecutive = 0;
    this.#probesOut = [];
    this.#probesSucceeded = 0;
    this.#cause = undefined;
    this.#window?.clear();
    if (from !== to) this.#listeners.tell({ from, to, reason, atMs });
  }
}

/**
 * A circuit breaker for one target or function.
 *
 * ```ts
 * const circuit = breaker({ failures: 5, openMs: 60_000 });
 * const order = await circuit.run(signal => fetchOrder("123", signal));
 * ```
 *
 * States and half-open probes after Nygard, "Release It!" (2007); shares over a window as in Hystrix and resilience4j;
 * growing open time with equal jitter as in Envoy's ejection and AWS's "Exponential backoff and jitter".
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function breaker(options: BreakerOptions = {}): Breaker {
  return new Breaker(options);
}
