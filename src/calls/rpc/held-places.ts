import type { RpcError } from "../../errors/index.ts";
import { outsideContext } from "../../platform/index.ts";
import { Permit, Waiter } from "../../resilience/index.ts";
import type { ServerCall } from "./server-call.ts";
import type { MethodGate } from "./server-overload.ts";

/** The places that one call takes under the limits of its method, from its head until its work has really ended. */
export class HeldPlaces {
  readonly #gate: MethodGate;
  /** The place under the adaptive limit. */
  #permit: Permit | undefined;
  /** The place under the method's fixed limit, and the wait for it. */
  #place: Permit | undefined;
  #waiter: Waiter | undefined;

  constructor(gate: MethodGate) {
    this.#gate = gate;
  }

  get areTaken(): boolean {
    return this.#permit !== undefined || this.#place !== undefined;
  }

  /** Whether the method has a fixed limit. */
  get mayHaveToWait(): boolean {
    return this.#gate.places !== undefined;
  }

  /** Asked when the head has come. @returns an error for the caller when there is no room */
  enter(call: ServerCall, nowMs: number): RpcError | undefined {
    const admission = this.#gate.admit(call, nowMs);
    if (!(admission instanceof Permit)) return admission;
    this.#permit = admission;
    return undefined;
  }

  /** Calls `run` when there is a place under the method's fixed limit; fails the call when there will be none in time. */
  whenFree(call: ServerCall, run: () => void): void {
    const { places } = this.#gate;
    const admission = places?.acquire();
    if (places === undefined || admission === undefined) {
      run();
      return;
    }
    if (!admission.rejected) {
      this.#place = admission;
      run();
      return;
    }
    const waiter = new Waiter(call.deadlineAt, decided => {
      this.#waiter = undefined;
      if (decided.rejected) {
        call.fail(this.#gate.refusal(call, decided.reason));
        return;
      }
      this.#place = decided;
      // Whoever leaves a place runs this, but it belongs to another call.
      outsideContext(run);
    });
    const refused = places.enqueue(waiter);
    if (refused === undefined) this.#waiter = waiter;
    else call.fail(this.#gate.refusal(call, refused.reason));
  }

  /** The call is over: nobody waits for a place any more. */
  stopWaiting(): void {
    if (this.#waiter !== undefined) this.#gate.places?.leave(this.#waiter);
  }

  /** The work has really ended, or will never begin. */
  leave(outcome: "answered" | "timed_out" | "failed"): void {
    const permit = this.#permit;
    if (permit !== undefined) {
      this.#permit = undefined;
      this.#gate.ended(permit, outcome);
    }
    const place = this.#place;
    if (place === undefined) return;
    this.#place = undefined;
    place.ignore();
  }
}
