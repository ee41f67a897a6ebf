import { RpcError } from "../../errors/index.ts";
import type { Timer } from "../../platform/index.ts";
import type { Endpoint } from "../channel/index.ts";
import type { CallOptions } from "./call-options.ts";
import { isWorthRepeating } from "./client-policy.ts";
import type { FailedCall } from "./repetition.ts";

/** What a hedge knows of the call that it was sent for. */
export interface HedgeLead {
  /** Where the attempt before is under way: another endpoint is better. */
  readonly endpoint: Endpoint | undefined;
  /** Attempts that were sent before. */
  readonly previousAttempts: number;
}

/** The call that hedges are sent for. */
export interface HedgedCall extends FailedCall {
  readonly isSettled: boolean;
  /** An attempt of its own is under way. */
  readonly isPending: boolean;
  readonly failedAttempts: number;
  /** Another call of the same request, without retries and guards. */
  openHedge(previousAttempts: number): HedgeCall;
  answeredByHedge(response: unknown, hedge: HedgeCall): void;
  /** Neither its own attempt nor a hedge will answer. */
  failedWithHedges(error: RpcError): void;
}

/** One hedge: a call of its own. */
export interface HedgeCall {
  start(): Promise<unknown>;
  cancel(error: RpcError): void;
  /** Gives headers and trailers of its answer to those who asked for the call's. */
  passMetadata(): void;
}

/** The further attempts of a slow call. */
export class Hedging {
  readonly #call: HedgedCall;
  readonly #delayMs: number;
  readonly #running = new Set<HedgeCall>();
  /** Runs until the next hedge. */
  #timer: Timer;
  /** Hedges that may still be sent. */
  #left: number;
  #sent = 0;
  /** What the call's own attempt failed with, while a hedge may still answer. */
  #ownError: RpcError | undefined;

  /** `undefined`: none is sent for this call. */
  static plan(call: HedgedCall, asked: CallOptions["hedge"], nowMs: number): Hedging | undefined {
    const { policy } = call;
    if (asked === false || !call.isIdempotent || (call.served?.attempt ?? 0) > 0) return undefined;
    const hedge = policy.hedge ?? policy.hedgeOnDemand?.get();
    const own = asked === true ? undefined : asked;
    const delayMs = own?.delayMs ?? hedge?.delayMs(nowMs);
    if (hedge === undefined || delayMs === undefined || nowMs + delayMs >= call.deadlineAt) return undefined;
    return new Hedging(call, delayMs, own?.hedges ?? hedge.hedges);
  }

  private constructor(call: HedgedCall, delayMs: number, hedges: number) {
    this.#call = call;
    this.#delayMs = delayMs;
    this.#left = hedges;
    this.#timer = this.#next();
  }

  #next(): Timer {
    return this.#call.channel.platform.clock.after(this.#delayMs, () => this.#send());
  }

  /** Sends the request once more, beside the attempt that is slow. */
  #send(): void {
    const call = this.#call;
    // Between two attempts, and where nothing was sent yet, there is nothing to help.
    if (call.isSettled || !call.isPending) return;
    const { observer, platform } = call.channel;
    const attempt = 1 + call.failedAttempts + ++this.#sent;
    if (call.policy.budget?.withdraw(platform.clock.now()) === false) {
      const event = { type: "resilience.retry.refused", policy: call.path, attempt, reason: "budget" } as const;
      observer.emit(event);
      return;
    }
    const event = { type: "resilience.hedge", policy: call.path, attempt } as const;
    observer.emit(event);
    const hedge = call.openHedge(attempt - 1);
    this.#running.add(hedge);
    hedge.start().then(
      response => {
        this.#running.delete(hedge);
        call.answeredByHedge(response, hedge);
      },
      (error: RpcError) => this.#failed(hedge, error),
    );
    if (--this.#left > 0) this.#timer = this.#next();
  }

  #failed(hedge: HedgeCall, error: RpcError): void {
    const call = this.#call;
    this.#running.delete(hedge);
    if (call.isSettled) return;
    // The others may still answer, unless they would say the same.
    const isOthersTurn = call.isPending || this.#running.size > 0;
    if (isOthersTurn && isWorthRepeating(call.policy, error, true)) return;
    call.failedWithHedges(this.#ownError ?? error);
  }

  /** The call's own attempt has failed: whether a hedge is under way that may do better. */
  mayStillAnswer(ownError: RpcError): boolean {
    if (this.#running.size === 0 || !isWorthRepeating(this.#call.policy, ownError, true)) return false;
    this.#ownError = ownError;
    return true;
  }

  /** No further ones; those under way go on. */
  stop(): void {
    this.#timer.cancel();
  }

  /** The call has ended. */
  cancel(): void {
    this.#timer.cancel();
    const lost = new RpcError("cancelled", "another attempt of the call has ended it");
    for (const hedge of this.#running) hedge.cancel(lost);
  }
}
