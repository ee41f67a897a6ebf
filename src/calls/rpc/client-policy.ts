import type { Method } from "../../contract/index.ts";
import type { RpcError } from "../../errors/index.ts";
import { codeRow, type ErrorCode } from "../../errors/index.ts";
import {
  Breaker,
  type BreakerOptions,
  Budget,
  type BudgetOptions,
  Hedge,
  hedgesMax,
  isOutOfRetries,
  isRetryable,
  Retry,
  type RetryOptions,
  Throttle,
  type ThrottleOptions,
} from "../../resilience/index.ts";
import type { Channel } from "../channel/index.ts";

/** How calls are repeated that failed in a way that may pass. */
export interface ClientRetryOptions
  extends Pick<RetryOptions, "attempts" | "delayMs" | "factor" | "maxDelayMs" | "jitter"> {
  /** Codes that are worth another attempt, instead of the default's. @default the contract's `policy.retryable_codes` */
  readonly codes?: readonly ErrorCode[] | undefined;
}

/** When a second attempt is sent beside a slow one. */
export interface ClientHedgeOptions {
  /** A fixed delay in milliseconds. @default the observed 95th percentile of the method's latency */
  readonly delayMs?: number | undefined;
  /** Hedges per call. @default 1 */
  readonly hedges?: number | undefined;
}

/** What a client does by itself when calls fail. */
export interface ClientPolicy {
  /**
   * Methods whose contract says that calls may be repeated (`idempotency_level`): 3 attempts, full jitter from 50 ms.
   * `false`: nothing is repeated but what the server certainly did not act upon.
   */
  readonly retry?: ClientRetryOptions | false | undefined;
  /**
   * Time of one attempt in milliseconds; one that takes longer is given up and counts as failed. Infinity: no limit, whatever
   * the contract says. @default the contract's `policy.attempt_timeout`, otherwise no limit
   */
  readonly attemptTimeoutMs?: number | undefined;
  /** For unary methods that may be repeated. @default the contract's `policy.hedge`, otherwise none */
  readonly hedge?: ClientHedgeOptions | false | undefined;
  /** What retries and hedges may cost together. @default one for the channel: 20 % of its calls and 10 a second */
  readonly budget?: Budget | BudgetOptions | false | undefined;
  /** Holds back what an overloaded target would reject. @default one for the channel: K = 2 over two minutes */
  readonly throttle?: Throttle | ThrottleOptions | false | undefined;
  /** Stops calls to a target that does not answer at all. @default one for the channel: 20 calls in a row without answer */
  readonly breaker?: Breaker | BreakerOptions | false | undefined;
}

/** A {@link ClientPolicy} for one method, put together when the client is made. */
export interface CallPolicy {
  readonly retry: Retry | undefined;
  readonly codes: ReadonlySet<ErrorCode> | undefined;
  /** The contract says that repeating a call does no harm. */
  readonly isIdempotent: boolean;
  readonly attemptTimeoutMs: number | undefined;
  /** Of every call. */
  readonly hedge: Hedge | undefined;
  /** Of calls that ask for it, where not all are hedged. */
  readonly hedgeOnDemand: HedgeOnDemand | undefined;
  readonly budget: Budget | undefined;
  readonly throttle: Throttle | undefined;
  readonly breaker: Breaker | undefined;
}

const noPolicy: CallPolicy = {
  retry: undefined,
  codes: undefined,
  isIdempotent: false,
  attemptTimeoutMs: undefined,
  hedge: undefined,
  hedgeOnDemand: undefined,
  budget: undefined,
  throttle: undefined,
  breaker: undefined,
};

const optionNames = ["retry", "attemptTimeoutMs", "hedge", "budget", "throttle", "breaker"];

/**
 * Puts a policy together for each method of a client; guards of the target are shared by all of them.
 * @throws TypeError, RangeError naming an option that is wrong or contradicts another one
 */
export function callPolicies(channel: Channel, given: ClientPolicy | false = {}): (method: Method) => CallPolicy {
  if (given === false) return () => noPolicy;
  for (const name of Object.keys(given)) {
    if (!optionNames.includes(name)) {
      throw new TypeError(`policy.${name} is not an option; the options are ${optionNames.join(", ")}`);
    }
  }
  const { platform, target, guards } = channel;
  const machine = { name: target, platform };
  const { attemptTimeoutMs } = given;
  if (attemptTimeoutMs !== undefined && !(attemptTimeoutMs >= 1)) {
    throw new RangeError(`policy.attemptTimeoutMs is ${attemptTimeoutMs}; it must be 1 or more milliseconds`);
  }
  if (given.hedge) {
    // Also where no method would use it.
    checkHedgeOptions(given.hedge, "policy.hedge");
    const { delayMs = 0 } = given.hedge;
    if (attemptTimeoutMs !== undefined && delayMs >= attemptTimeoutMs) {
      throw new RangeError(
        `policy.hedge.delayMs is ${delayMs}; it must be below policy.attemptTimeoutMs, ${attemptTimeoutMs}, after which the slow attempt is given up`,
      );
    }
  }
  const own = <T, O extends object>(
    part: T | O | false | undefined,
    shared: T,
    make: (options: O) => T,
    type: object,
  ) =>
    part === false ? undefined : part === undefined ? shared : isMadeBy(part, type) ? (part as T) : make(part as O);
  const budget = own(given.budget, guards.budget, o => new Budget({ ...machine, ...o }, "policy.budget"), Budget);
  const throttle = own(
    given.throttle,
    guards.throttle,
    o => new Throttle({ ...machine, ...o }, "policy.throttle"),
    Throttle,
  );
  const breaker = own(given.breaker, guards.breaker, o => new Breaker({ ...machine, ...o }, "policy.breaker"), Breaker);
  return method => ({
    ...retryOf(given, method, channel),
    isIdempotent: method.idempotency !== "unknown",
    attemptTimeoutMs: limitOf(attemptTimeoutMs ?? method.policy.attemptTimeoutMs),
    ...hedgesOf(given, method, channel),
    budget,
    throttle,
    breaker,
  });
}

function limitOf(timeoutMs: number | undefined): number | undefined {
  return timeoutMs === Number.POSITIVE_INFINITY ? undefined : timeoutMs;
}

function isMadeBy(part: unknown, type: object): boolean {
  return typeof part === "object" && part !== null && part.constructor === type;
}

function retryOf(given: ClientPolicy, method: Method, { platform }: Channel): Pick<CallPolicy, "retry" | "codes"> {
  if (given.retry === false) return { retry: undefined, codes: undefined };
  const { codes = method.policy.retryableCodes, ...options } = given.retry ?? {};
  for (const code of codes) codeRow(code);
  const attempts = options.attempts ?? method.policy.maxAttempts;
  const retry = new Retry({ ...options, attempts, budget: false, platform }, "policy.retry");
  return { retry, codes: codes.length === 0 ? undefined : new Set(codes) };
}

function hedgesOf(
  given: ClientPolicy,
  { kind, idempotency, policy, path }: Method,
  { platform }: Channel,
): Pick<CallPolicy, "hedge" | "hedgeOnDemand"> {
  if (kind !== "unary") return { hedge: undefined, hedgeOnDemand: undefined };
  const { hedge: contract } = policy;
  const ofContract = contract && { delayMs: contract.delayMs, hedges: contract.maxAttempts || undefined };
  const options = given.hedge || ofContract;
  const make = () => {
    const at = given.hedge ? "policy.hedge" : `${path}: (trunkline.v1.policy).hedge`;
    return new Hedge({ ...options, budget: false, platform }, at);
  };
  const isOn = options !== undefined && given.hedge !== false && idempotency !== "unknown";
  return isOn
    ? { hedge: make(), hedgeOnDemand: undefined }
    : { hedge: undefined, hedgeOnDemand: new HedgeOnDemand(make) };
}

/** Hedges of a method whose calls are hedged only where one asks. Latencies are observed from the first one that does. */
export class HedgeOnDemand {
  /** What was made when a call asked for it first. */
  made: Hedge | undefined;
  readonly #make: () => Hedge;

  constructor(make: () => Hedge) {
    this.#make = make;
  }

  get(): Hedge {
    this.made ??= this.#make();
    return this.made;
  }
}

const hedgeOptionNames = ["delayMs", "hedges"];

/** @throws TypeError, RangeError naming the option that is wrong */
export function checkHedgeOptions(options: ClientHedgeOptions, path: string): void {
  for (const name of Object.keys(options)) {
    if (hedgeOptionNames.includes(name)) continue;
    throw new TypeError(`${path}.${name} is not an option; the options are ${hedgeOptionNames.join(", ")}`);
  }
  const { delayMs, hedges } = options;
  if (delayMs !== undefined && !(delayMs >= 1 && delayMs < Number.POSITIVE_INFINITY)) {
    throw new RangeError(`${path}.delayMs is ${delayMs}; it must be a number of milliseconds from 1`);
  }
  if (hedges !== undefined && !(Number.isInteger(hedges) && hedges >= 1 && hedges <= hedgesMax)) {
    throw new RangeError(`${path}.hedges is ${hedges}; it must be a whole number from 1 to ${hedgesMax}`);
  }
}

/** Whether an error is worth another attempt, were there one left. */
export function isWorthRepeating(policy: CallPolicy, error: RpcError, isIdempotent: boolean): boolean {
  if (policy.codes === undefined || !isIdempotent || error.unprocessed) return isRetryable(error, isIdempotent);
  return policy.codes.has(error.code) && !isOutOfRetries(error);
}
