import type { Priority } from "../../contract/index.ts";
import { RejectedError, type RejectionReason, type RpcError } from "../../errors/index.ts";
import type { Observer, Platform } from "../../platform/index.ts";
import { AdaptiveLimit, type Bulkhead, type Priority as Criticality, type Permit } from "../../resilience/index.ts";
import { priorityRank } from "./call-priority.ts";
import { concurrencyInitial, concurrencyMax, concurrencyMin, loopDelayMsMax, refusalRetryAfterMs } from "./limits.ts";
import type { ServedMethod } from "./served-method.ts";
import type { ServerCall } from "./server-call.ts";
import { LoopPressure } from "./server-loop-pressure.ts";

/** How a server turns work away that it cannot do in time. */
export interface OverloadOptions {
  /**
   * Unary calls at once, of each method: the limit finds itself between `min` and `max` by latency.
   * @default `{ initial: 512, min: 128, max: 10_000 }`
   */
  readonly concurrency?:
    | {
        readonly initial?: number | undefined;
        readonly min?: number | undefined;
        readonly max?: number | undefined;
      }
    | undefined;
  /** How late the event loop may be, lastingly, in milliseconds. @default 100 */
  readonly loopDelayMs?: number | undefined;
  /** How long those who are turned away are asked to wait, in milliseconds; half more or less by chance. @default 1,000 */
  readonly retryAfterMs?: number | undefined;
  /**
   * Whether a caller may say that its call matters more than the contract does. `false`, for servers that anybody can
   * reach: it may only say that it matters less. @default true
   */
  readonly trustPriority?: boolean | undefined;
}

/** A call was turned away before its handler. */
export interface CallRefused {
  readonly type: "rpc.call.refused";
  readonly method: string;
  readonly priority: Priority;
  readonly reason: RejectionReason;
}

/** The four criticalities of the SRE book, of which the contract knows three. */
const criticalities: Readonly<Record<Priority, Criticality>> = {
  critical: "critical_plus",
  default: "critical",
  sheddable: "sheddable",
};

/** Errors that are made beforehand for each reason; what is refused under overload must cost next to nothing. */
const errorsPerReason = 16;

/** Who may call while there is too much to do. One per server; what concerns one method is a {@link MethodGate}. */
export class Overload {
  readonly platform: Platform;
  readonly trustsPriority: boolean;
  readonly loop: LoopPressure;
  readonly #observer: Observer;
  readonly #concurrency: NonNullable<OverloadOptions["concurrency"]>;
  readonly #retryAfterMs: number;
  readonly #limits: AdaptiveLimit[] = [];
  readonly #errors = new Map<RejectionReason, RpcError[]>();
  #refused = 0;

  /** @throws TypeError, RangeError for options that are wrong, unknown or contradict each other */
  constructor(options: OverloadOptions, platform: Platform, observer: Observer) {
    knownNames("overload", options, ["concurrency", "loopDelayMs", "retryAfterMs", "trustPriority"]);
    const { concurrency = {}, loopDelayMs = loopDelayMsMax, retryAfterMs = refusalRetryAfterMs } = options;
    knownNames("overload.concurrency", concurrency, ["initial", "min", "max"]);
    milliseconds("overload.loopDelayMs", loopDelayMs);
    milliseconds("overload.retryAfterMs", retryAfterMs);
    if (options.trustPriority !== undefined && typeof options.trustPriority !== "boolean") {
      throw new TypeError(`overload.trustPriority: expected true or false, got ${typeof options.trustPriority}`);
    }
    this.platform = platform;
    this.trustsPriority = options.trustPriority ?? true;
    this.#observer = observer;
    this.#concurrency = concurrency;
    this.#retryAfterMs = retryAfterMs;
    this.loop = new LoopPressure(platform.clock, platform.random, loopDelayMs, delayMs => {
      for (const limit of this.#limits) limit.reportLoopDelay(delayMs);
    });
    // Wrong options are told of at the start also where no method has a limit.
    this.#newLimit();
  }

  /** The limit of one method. */
  limit(): AdaptiveLimit {
    const limit = this.#newLimit();
    this.#limits.push(limit);
    return limit;
  }

  /** The error for a call that is turned away. Shared, like its stack: nobody may change it. */
  refusal(call: ServerCall, reason: RejectionReason): RpcError {
    const { method, priority } = call;
    const event: CallRefused = { type: "rpc.call.refused", method: method.path, priority, reason };
    this.#observer.emit(event);
    let errors = this.#errors.get(reason);
    if (errors === undefined) {
      errors = this.#newErrors(reason);
      this.#errors.set(reason, errors);
    }
    return errors[this.#refused++ % errorsPerReason] as RpcError;
  }

  /** Spread over time, so that those who are refused together do not come back together. */
  #newErrors(reason: RejectionReason): RpcError[] {
    return Array.from({ length: errorsPerReason }, () => {
      const retryAfterMs = Math.round(this.#retryAfterMs * (0.5 + this.platform.random.next()));
      return new RejectedError({ reason, retryAfterMs: reason === "deadline" ? undefined : retryAfterMs });
    });
  }

  #newLimit(): AdaptiveLimit {
    const { min, max } = this.#concurrency;
    const least = min ?? Math.min(concurrencyMin, max ?? concurrencyMin);
    const most = max ?? Math.max(concurrencyMax, least);
    const initial = this.#concurrency.initial ?? Math.min(Math.max(concurrencyInitial, least), most);
    return new AdaptiveLimit({ initial, min: least, max: most, platform: this.platform }, "overload.concurrency");
  }
}

/** What stands before the handler of one method. */
export class MethodGate {
  readonly #overload: Overload;
  readonly #sheds: boolean;
  readonly #limit: AdaptiveLimit | undefined;
  /** The fixed limit, where the server's options give one. */
  readonly places: Bulkhead | undefined;

  /** @param sheds whether the adaptive limit and the event loop have a say */
  constructor(overload: Overload, served: ServedMethod, sheds: boolean, places: Bulkhead | undefined) {
    this.#overload = overload;
    this.#sheds = sheds;
    // How long a stream takes says nothing about the server.
    this.#limit = sheds && served.method.kind === "unary" ? overload.limit() : undefined;
    this.places = places;
  }

  /** Asked when the head of a request has come: a permit, an error for the caller, or `undefined` when nothing counts it. */
  admit(call: ServerCall, nowMs: number): Permit | RpcError | undefined {
    const { places } = this;
    if (places !== undefined && places.running >= places.concurrent && places.waiting >= places.queue) {
      return this.refusal(call, "bulkhead_full");
    }
    if (!this.#sheds) return undefined;
    const { loop } = this.#overload;
    loop.callCame(nowMs);
    if (loop.pressure > 0 && loop.sheds(call.priority)) return this.refusal(call, "shed");
    const limit = this.#limit;
    if (limit === undefined) return undefined;
    // Below half of the limit everybody is let in: how much the call matters need not be known.
    const isQuiet = limit.running * 2 + 2 < limit.limit;
    const admission = limit.acquire(isQuiet ? "critical" : criticalities[call.priority], nowMs);
    return admission.rejected ? this.refusal(call, admission.reason) : admission;
  }

  refusal(call: ServerCall, reason: RejectionReason): RpcError {
    return this.#overload.refusal(call, reason);
  }

  /** What the priority of a call is, by the contract and what its caller says. */
  priority(ofContract: Priority, ofCaller: Priority | undefined): Priority {
    if (ofCaller === undefined) return ofContract;
    if (this.#overload.trustsPriority) return ofCaller;
    return priorityRank[ofCaller] < priorityRank[ofContract] ? ofCaller : ofContract;
  }

  /**
   * The work has really ended. Only an answer has a latency. A deadline that passed is a sign of overload, unless it left
   * hardly more time than an undisturbed call takes: a caller in a hurry must not narrow the way for the others.
   */
  ended(permit: Permit, outcome: "answered" | "timed_out" | "failed"): void {
    if (outcome === "answered") {
      permit.success();
    } else if (outcome === "timed_out" && this.#limit !== undefined) {
      const tookMs = this.#overload.platform.clock.now() - permit.admittedAtMs;
      if (tookMs < this.#limit.baselineMs * 2) permit.ignore();
      else permit.failure("timeout");
    } else {
      permit.ignore();
    }
  }
}

/** @throws TypeError for what is no object, or has a name that means nothing */
export function knownNames(path: string, given: object, names: readonly string[]): void {
  if (typeof given !== "object" || given === null || Array.isArray(given)) {
    throw new TypeError(`${path}: expected an object of options, got ${given === null ? "null" : typeof given}`);
  }
  for (const name of Object.keys(given)) {
    if (!names.includes(name)) {
      throw new TypeError(`${path}: there is no option "${name}"; the options are ${names.join(", ")}`);
    }
  }
}

function milliseconds(path: string, value: number): void {
  if (typeof value !== "number") throw new TypeError(`${path}: expected milliseconds, got ${typeof value}`);
  if (!(value >= 1 && value <= 3_600_000)) throw new RangeError(`${path}: expected 1 to 3,600,000 ms, got ${value}`);
}
