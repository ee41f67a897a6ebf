import { type Clock, type Random, systemPlatform } from "../platform/index.ts";

/** Time and randomness of a part. */
export interface Machine {
  readonly clock: Clock;
  readonly random: Random;
}

/** Options that every part has. */
export interface PartOptions {
  /** Names the part in errors and events. */
  readonly name?: string | undefined;
  /** Time and randomness; a virtual one in tests. @default the system's */
  readonly platform?: Machine | undefined;
}

export const partOptionNames = ["name", "platform"] as const;

export function machineOf(options: PartOptions): Machine {
  return options.platform ?? systemPlatform;
}

/** What guarded work is told about its attempt. */
export interface Attempt {
  /** 1 for the first attempt of a call; retries and hedges count on. */
  readonly number: number;
  /** Attempts of this call that were sent before: the value of `grpc-previous-rpc-attempts`. */
  readonly previousAttempts: number;
  /** Whether this attempt runs beside an earlier one that has not answered yet. */
  readonly isHedge: boolean;
  /** Monotonic time in milliseconds at which this attempt must be over; Infinity where there is no limit. */
  readonly deadlineAt: number;
  /** What the attempt before this one failed with, so that another endpoint can be picked. */
  readonly previousError: unknown;
}

/**
 * Work that a policy guards. The signal is aborted when the attempt timed out, lost against a hedge, or its caller went
 * away; where nothing else can abort it, it is the caller's own. It is made only for functions that declare a parameter: one
 * without (also `(...rest) =>`) gets `undefined`.
 */
export type Work<T> = (signal: AbortSignal, attempt: Attempt) => T | PromiseLike<T>;

/** What one call may say for itself. */
export interface RunOptions {
  /** Aborting it ends the call at once with its reason; what is under way is aborted too. */
  readonly signal?: AbortSignal | undefined;
  /** Absolute time of the policy's monotonic clock in milliseconds, for example of the call that is being served. */
  readonly deadline?: number | undefined;
  /** Longest time of this call in milliseconds; the earliest of it, `deadline` and the policy's `timeoutMs` counts. */
  readonly timeoutMs?: number | undefined;
  /** What is asked for: caches and coalescing know values by it, and rate limits who asks unless `rateKey` says so. */
  readonly key?: string | undefined;
  /** Key of the rate limit, where it is another one, for example the tenant. @default key */
  readonly rateKey?: string | undefined;
  /** How much the work matters when there is too much of it. @default "critical" */
  readonly priority?: Priority | undefined;
  /** Whether repeating the work does no harm; overrides the policy's. */
  readonly idempotent?: boolean | undefined;
  /**
   * Attempts that came before the call which this work serves (`grpc-previous-rpc-attempts` of the inbound call). Above 0
   * the work is neither retried nor hedged: whoever repeats up there multiplies with whoever repeats down here.
   */
  readonly inboundAttempts?: number | undefined;
}

/**
 * How much work matters: the criticalities of the SRE book ("Handling overload"). Under load the sheddable goes first.
 */
export type Priority = "critical_plus" | "critical" | "sheddable_plus" | "sheddable";
