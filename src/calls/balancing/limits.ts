/** Numbers of load balancing and outlier ejection; each can be set per channel. */
export interface BalancingLimits {
  /** Time in which a latency that was seen loses 63 % of its weight, in milliseconds. @default 10,000, as Finagle */
  readonly latencyDecayMs: number;
  /** What a failed endpoint counts as, and for how long, in milliseconds; doubled while it fails on. @default 5,000 */
  readonly penaltyMinMs: number;
  /** @default 60,000 */
  readonly penaltyMaxMs: number;
  /** An endpoint under penalty gets one call in this time, to see whether it works again, in milliseconds. @default 1,000 */
  readonly trialIntervalMs: number;
  /**
   * In this time a new endpoint grows from a tenth to its whole share, by every rule and also for one call at a time, in
   * milliseconds. 0: no slow start. @default 10,000
   */
  readonly slowStartMs: number;
  /** Endpoints that one channel uses; of more, each client takes a share of its own. @default 100 */
  readonly subsetMax: number;
}

export interface EjectionLimits {
  /** Failures in a row that eject an endpoint. @default 5, as Envoy */
  readonly consecutiveFailures: number;
  /** Share of failed calls above which it is ejected. @default 0.85, as Envoy */
  readonly failureRatio: number;
  /** Calls in one window below which the share says nothing. @default 50 */
  readonly callsMin: number;
  /** Length of that window, in milliseconds. @default 10,000 */
  readonly windowMs: number;
  /** First ejection, in milliseconds; the n-th lasts n times as long. @default 30,000 */
  readonly baseMs: number;
  /** Longest ejection, in milliseconds. @default 300,000 */
  readonly maxMs: number;
  /** Share of the endpoints that may be ejected at once; one always may. @default 0.1 */
  readonly shareMax: number;
  /** With a smaller share of usable endpoints all are used: the fault is not theirs (Envoy, "panic threshold"). @default 0.5 */
  readonly panicShare: number;
}

export const balancingLimits: BalancingLimits = {
  latencyDecayMs: 10_000,
  penaltyMinMs: 5_000,
  penaltyMaxMs: 60_000,
  trialIntervalMs: 1_000,
  slowStartMs: 10_000,
  subsetMax: 100,
};

export const ejectionLimits: EjectionLimits = {
  consecutiveFailures: 5,
  failureRatio: 0.85,
  callsMin: 50,
  windowMs: 10_000,
  baseMs: 30_000,
  maxMs: 300_000,
  shareMax: 0.1,
  panicShare: 0.5,
};

/** Weights that a registry may give, so that their sums and products stay numbers; its inverse is the least. */
export const weightMax = 1_000_000_000;

/** Share of its weight that an endpoint begins with in its slow start. */
export const slowStartShareMin = 0.1;

/** While endpoints are new, how often it is reckoned what a zone can bear, in milliseconds: a hundredth of their slow start. */
export const zoneReviewMs = 100;

/** Where 0 would mean that nothing is used, or that everything is left out. */
const leastOf: Readonly<Record<string, number>> = { latencyDecayMs: 1, subsetMax: 1, consecutiveFailures: 1 };

/** The first must not be above the second. */
const orders = [
  ["penaltyMinMs", "penaltyMaxMs"],
  ["baseMs", "maxMs"],
] as const;

/**
 * The given numbers on top of the defaults.
 * @throws RangeError naming the option, when a number is not finite, too small, a share above 1, or a least above its most
 */
export function checkedLimits<L extends object>(name: string, defaults: L, given: Partial<L> = {}): L {
  for (const [option, value] of Object.entries(given) as [string, number | undefined][]) {
    if (!(option in defaults)) throw new RangeError(`${name}.${option} is not an option`);
    if (value === undefined) continue;
    const max = /(ratio|share|shareMax)$/i.test(option) ? 1 : Number.MAX_SAFE_INTEGER;
    const min = leastOf[option] ?? 0;
    if (!(value >= min && value <= max)) {
      throw new RangeError(`${name}.${option} is ${value}; it must be a number from ${min} to ${max}`);
    }
  }
  const kept = Object.entries(given).filter(([, value]) => value !== undefined);
  const limits: L = { ...defaults, ...Object.fromEntries(kept) };
  const numbers = limits as Readonly<Record<string, number | undefined>>;
  for (const [least, most] of orders) {
    const [min = 0, max = min] = [numbers[least], numbers[most]];
    if (min > max) throw new RangeError(`${name}.${least} is ${min}; it must be at most ${name}.${most}, ${max}`);
  }
  return limits;
}
