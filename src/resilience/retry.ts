import { isRpcError, RejectedError, type RpcError } from "../errors/index.ts";
import type { Random } from "../platform/index.ts";
import { type Backoff, backoffDelayMs, type Jitter } from "./backoff.ts";
import { Budget, type BudgetOptions } from "./budget.ts";
import { retryAttempts, retryAttemptsMax, retryDelayMs, retryDelayMsMax, retryFactor } from "./limits.ts";
import {
  booleanOption,
  choiceOption,
  contradiction,
  durationOrZeroMs,
  functionOption,
  knownOptions,
  numberOption,
} from "./options.ts";
import { isOutOfRetries } from "./out-of-retries.ts";
import { machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { planOf } from "./plan.ts";
import { pushbackOf } from "./pushback.ts";
import { execute } from "./run.ts";
import { TimeoutError } from "./timeout-error.ts";

export interface RetryOptions extends PartOptions {
  /** Attempts in all, the first included. @default 3 */
  readonly attempts?: number | undefined;
  /** Delay before the second attempt in milliseconds, before jitter. @default 50 */
  readonly delayMs?: number | undefined;
  /** Growth of the delay from attempt to attempt. Means nothing with decorrelated jitter. @default 2 */
  readonly factor?: number | undefined;
  /** Longest delay in milliseconds. @default 1,000, or the longest that attempts, delay and factor of `jitter: "none"` give */
  readonly maxDelayMs?: number | undefined;
  /** @default "full" */
  readonly jitter?: Jitter | undefined;
  /**
   * Whether an error is worth another attempt. It replaces the default, {@link isRetryable}, but for pushback: a peer that
   * says "not again" is not asked again.
   */
  readonly when?: ((error: unknown, attempt: number) => boolean) | undefined;
  /**
   * Whether repeating the work does no harm. Otherwise only what certainly had no effect is repeated. A run's own
   * `idempotent` wins. @default true: who guards a function with retry says that it may be repeated
   */
  readonly idempotent?: boolean | undefined;
  /** What retries may cost; `false`: no limit but the attempts. @default 20 % of requests and 10 a second */
  readonly budget?: Budget | BudgetOptions | false | undefined;
}

const optionNames = [
  ...partOptionNames,
  "attempts",
  "delayMs",
  "factor",
  "maxDelayMs",
  "jitter",
  "when",
  "idempotent",
  "budget",
];

/** Repeats work that failed in a way that may pass. Made by {@link retry}. */
export class Retry {
  readonly attempts: number;
  readonly idempotent: boolean;
  readonly budget: Budget | undefined;
  readonly #random: Random;
  readonly #backoff: Backoff;
  readonly #when: ((error: unknown, attempt: number) => boolean) | undefined;
  readonly #alone;

  /** @throws TypeError, RangeError when an option is wrong or contradicts another one */
  constructor(options: RetryOptions = {}, path = "retry") {
    knownOptions(path, options, optionNames);
    const machine = machineOf(options);
    this.#random = machine.random;
    this.attempts = numberOption(`${path}.attempts`, options.attempts, retryAttempts, {
      min: 1,
      max: retryAttemptsMax,
      integer: true,
    });
    const jitter = choiceOption(`${path}.jitter`, options.jitter, "full", ["full", "decorrelated", "none"]);
    const baseMs = numberOption(`${path}.delayMs`, options.delayMs, retryDelayMs, durationOrZeroMs);
    const factor = numberOption(`${path}.factor`, options.factor, retryFactor, { min: 1, max: 100 });
    if (jitter === "decorrelated" && options.factor !== undefined) {
      throw contradiction(`${path}.factor`, "means nothing with decorrelated jitter, which grows from its last delay");
    }
    // Whoever asks for exact delays has said how long they are.
    const exactMs = Math.min(baseMs * factor ** Math.max(0, this.attempts - 2), durationOrZeroMs.max);
    const maxByDefault = jitter === "none" ? Math.max(retryDelayMsMax, exactMs) : Math.max(retryDelayMsMax, baseMs);
    const maxMs = numberOption(`${path}.maxDelayMs`, options.maxDelayMs, maxByDefault, durationOrZeroMs);
    if (maxMs < baseMs) throw contradiction(`${path}.maxDelayMs`, `${maxMs} ms is below delayMs, ${baseMs} ms`);
    functionOption(`${path}.when`, options.when);
    this.#backoff = { jitter, baseMs, factor, maxMs };
    this.#when = options.when;
    booleanOption(`${path}.idempotent`, options.idempotent);
    this.idempotent = options.idempotent ?? true;
    this.budget = budgetOf(options.budget, machine, `${path}.budget`);
    this.#alone = planOf(machine, { name: options.name, retry: this, budget: this.budget });
  }

  /** Whether an error of attempt `attempt` is worth another one, were there one left. */
  isWorthwhile(error: unknown, attempt: number, idempotent: boolean): boolean {
    return this.#when === undefined ? isRetryable(error, idempotent) : this.#when(error, attempt);
  }

  /**
   * The delay before the attempt after `attempt`, in milliseconds; `undefined` when the peer has said that there must be
   * none. A pushback replaces the computed delay.
   *
   * @param previousMs the delay before, 0 when there was none
   */
  delayMs(error: unknown, attempt: number, previousMs: number): number | undefined {
    const pushback = pushbackOf((error as Partial<RpcError> | null | undefined)?.retryAfterMs);
    if (pushback === "stop") return undefined;
    return pushback ?? backoffDelayMs(this.#backoff, attempt, previousMs, this.#random);
  }

  /** Guards one piece of work. @throws what the last attempt threw */
  run<T>(work: Work<T>, options?: RunOptions): Promise<T> {
    return execute(this.#alone, work, options);
  }
}

/**
 * The default of {@link RetryOptions.when}.
 *
 * Always: what certainly had no effect at the peer (`unprocessed`). For idempotent work also: `unavailable`, a time-out of
 * one attempt, `resource_exhausted` when the peer says when to come back, streams aborted by the transport, and errors of
 * other libraries. Never: what somebody below has given up repeating, and the caller's own cancellation.
 */
export function isRetryable(error: unknown, idempotent: boolean): boolean {
  if (isOutOfRetries(error)) return false;
  if (!isRpcError(error)) return idempotent;
  if (error.unprocessed) return !(error instanceof RejectedError) || error.reason !== "deadline";
  if (!idempotent) return false;
  switch (error.code) {
    case "unavailable":
      return true;
    case "deadline_exceeded":
      return error instanceof TimeoutError && error.scope === "attempt";
    case "resource_exhausted":
      return error.retryAfterMs !== undefined;
    case "internal":
      return isTransportAbort(error);
    default:
      return false;
  }
}

/** A stream that the transport reset: its error carries what happened to the exchange, with the HTTP/2 code. */
function isTransportAbort(error: RpcError): boolean {
  return (error.cause as { reason?: unknown } | undefined)?.reason === "reset";
}

export function budgetOf(
  given: Budget | BudgetOptions | false | undefined,
  platform: PartOptions["platform"],
  path: string,
): Budget | undefined {
  if (given === false) return undefined;
  return given instanceof Budget ? given : new Budget({ platform, ...given }, path);
}

/**
 * Repeats work that failed in a way that may pass, with growing delays.
 *
 * ```ts
 * const patient = retry({ attempts: 3, delayMs: 2000, factor: 2, jitter: "none", when: error => error instanceof TypeError });
 * const order = await patient.run(signal => fetch(url, { signal }));
 * ```
 *
 * A delay that would end at or after the deadline is not waited: the call fails at once with the last error. Pushback of
 * the peer (an error's `retryAfterMs`) replaces the delay, and forbids the retry when negative or not a number. Attempts,
 * codes and pushback as in gRFC A6; jitter as in {@link Jitter}.
 *
 * @throws TypeError, RangeError when an option is wrong or contradicts another one
 */
export function retry(options: RetryOptions = {}): Retry {
  return new Retry(options);
}
