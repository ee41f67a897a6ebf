import { type BalancingLimits, slowStartShareMin } from "./limits.ts";

/** Latencies below this many milliseconds are alike: what waits decides. */
const costFloorMs = 0.1;
/** The most that failures make an endpoint look slower; beyond this it is ejected or under penalty anyway. */
const failingMax = 0.95;

/**
 * What is known of an endpoint's speed: a moving average of its latencies that follows a rise at once and a fall slowly
 * (Finagle's "peak EWMA", Twitter 2015), the calls that wait for it, and a penalty after failures.
 *
 * Time comes as an argument everywhere: `nowMs` is the monotonic clock's.
 */
export class EndpointLoad {
  readonly #limits: BalancingLimits;
  /** Calls that have begun and not ended. */
  pending = 0;
  /** Negative: nothing is known. */
  #costMs = -1;
  #stampMs = 0;
  /** Moving share of failed calls, 0 to 1. */
  #failing = 0;
  #failingStampMs = 0;
  #joinedMs: number;
  #penaltyMs = 0;
  /** When the present penalty was set; calls that began before it say nothing new. */
  #penaltySetMs = 0;
  #penalisedUntilMs = 0;
  #pushbackMs = 0;
  #trialAtMs = 0;
  #lastCause: unknown;

  /** @param joinedMs when the endpoint became usable; `-Infinity`: long ago, no slow start */
  constructor(limits: BalancingLimits, joinedMs: number) {
    this.#limits = limits;
    this.#joinedMs = joinedMs;
  }

  /** A call to the endpoint begins. */
  begun(): void {
    this.pending++;
  }

  /** The call ended in a way that says nothing about the endpoint: cancelled by its caller, for example. */
  released(): void {
    this.pending--;
  }

  /**
   * Nobody waits for the call any more, because its caller gave up or another attempt was faster. It would have taken longer
   * than this, which matters where it is more than what is known: a host that stands still would otherwise look as fast as
   * before it did, for as long as nobody waits for it to the end.
   */
  unanswered(nowMs: number, waitedMs: number): void {
    this.pending--;
    if (waitedMs <= this.#costMs * keptAfter(nowMs - this.#stampMs, this.#limits.latencyDecayMs)) return;
    this.#costMs = waitedMs;
    this.#stampMs = nowMs;
  }

  /** @param latencyMs `undefined`: how long the call took says nothing of the endpoint */
  succeeded(nowMs: number, latencyMs: number | undefined): void {
    this.pending--;
    this.#penaltyMs = 0;
    this.#penalisedUntilMs = 0;
    this.#pushbackMs = 0;
    this.#lastCause = undefined;
    this.#countFailing(nowMs, 0);
    if (latencyMs === undefined) return;
    const latency = Math.max(latencyMs, 0);
    if (latency > this.#costMs) {
      this.#costMs = latency;
    } else {
      const kept = keptAfter(nowMs - this.#stampMs, this.#limits.latencyDecayMs);
      this.#costMs = this.#costMs * kept + latency * (1 - kept);
    }
    this.#stampMs = nowMs;
  }

  /**
   * The call failed through the endpoint's fault. Several calls that fail by one cause, such as one lost connection, count
   * once.
   * @param pushbackMs how long the server asked to be left alone; 0: it did not say
   * @returns whether it counted
   */
  failed(nowMs: number, latencyMs: number, pushbackMs = 0, cause?: unknown): boolean {
    this.pending--;
    if (cause !== undefined && cause === this.#lastCause) return false;
    this.#lastCause = cause;
    this.#countFailing(nowMs, 1);
    const { penaltyMinMs, penaltyMaxMs, trialIntervalMs } = this.#limits;
    if (pushbackMs > this.#pushbackMs) this.#pushbackMs = Math.min(pushbackMs, penaltyMaxMs);
    if (this.#penaltyMs === 0) this.#penaltyMs = penaltyMinMs;
    else if (nowMs - latencyMs >= this.#penaltySetMs) this.#penaltyMs = Math.min(this.#penaltyMs * 2, penaltyMaxMs);
    else return true;
    this.#penaltySetMs = nowMs;
    this.#penalisedUntilMs = nowMs + Math.max(this.#penaltyMs, this.#pushbackMs);
    this.#trialAtMs = nowMs + trialIntervalMs;
    return true;
  }

  /** Forgets all but the calls under way: another process answers at this address now. */
  restart(nowMs: number): void {
    this.#costMs = -1;
    this.#failing = 0;
    this.#penaltyMs = 0;
    this.#penalisedUntilMs = 0;
    this.#pushbackMs = 0;
    this.#joinedMs = nowMs;
  }

  isPenalised(nowMs: number): boolean {
    return nowMs < this.#penalisedUntilMs;
  }

  /** Under penalty, and failed again after that was known: it was not chance. */
  isFailing(nowMs: number): boolean {
    return this.#penaltyMs > this.#limits.penaltyMinMs && this.isPenalised(nowMs);
  }

  /** When the present penalty lapses, on the monotonic clock. */
  get penalisedUntilMs(): number {
    return this.#penalisedUntilMs;
  }

  /** When the endpoint is due for a trial call, while it is under penalty. */
  get trialAtMs(): number {
    return this.#trialAtMs;
  }

  /** Whether an endpoint under penalty is due for the one call that shows if it works again; `true` takes that call. */
  takeTrial(nowMs: number): boolean {
    if (nowMs < this.#trialAtMs || !this.isPenalised(nowMs)) return false;
    this.#trialAtMs = nowMs + this.#limits.trialIntervalMs;
    return true;
  }

  /** Expected milliseconds until a success, without what waits; negative when nothing is known. */
  costMs(nowMs: number): number {
    if (nowMs < this.#penalisedUntilMs) return Math.max(this.#penaltyMs, this.#pushbackMs);
    if (this.#costMs < 0) return -1;
    const idle = keptAfter(nowMs - this.#stampMs, this.#limits.latencyDecayMs);
    const costMs = Math.max(this.#costMs * idle, costFloorMs);
    if (this.#failing === 0) return costMs;
    const failing = this.#failing * keptAfter(nowMs - this.#failingStampMs, this.#limits.latencyDecayMs);
    return costMs / (1 - Math.min(failing, failingMax));
  }

  /** The share of its weight that the endpoint takes: it grows while it is new. */
  share(nowMs: number): number {
    const { slowStartMs } = this.#limits;
    const ageMs = nowMs - this.#joinedMs;
    if (ageMs >= slowStartMs) return 1;
    return Math.max(ageMs / slowStartMs, slowStartShareMin);
  }

  #countFailing(nowMs: number, sample: 0 | 1): void {
    if (sample === 0 && this.#failing === 0) return;
    // A call weighs at least a tenth, so that the first few say something.
    const kept = Math.min(keptAfter(nowMs - this.#failingStampMs, this.#limits.latencyDecayMs), 0.9);
    this.#failing = this.#failing * kept + sample * (1 - kept);
    if (this.#failing < 0.001) this.#failing = 0;
    this.#failingStampMs = nowMs;
  }
}

/** e^(−elapsed ÷ decay). Under load little time passes from call to call, and two terms of the series are exact enough. */
function keptAfter(elapsedMs: number, decayMs: number): number {
  const passed = elapsedMs / decayMs;
  return passed >= 0 && passed < 0.001 ? 1 - passed + (passed * passed) / 2 : Math.exp(-passed);
}
