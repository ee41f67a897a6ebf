import type { Rejection } from "../errors/index.ts";

/**
 * What kind of failure settled a permit. `timeout`: no answer in time; `overload`: the other side refused because it has
 * too much to do; `unavailable`: it could not be reached, or went away; `error`: any other failed answer.
 */
export type FailureKind = "error" | "timeout" | "overload" | "unavailable";

/** How work ended, as the guards see it: `ignore` says nothing about the target (not found, cancelled by the caller …). */
export type Outcome = "success" | "failure" | "ignore";

/** What a permit reports to, exactly once. */
export interface PermitOwner {
  /**
   * @param latencyMs NaN where it was not measured
   * @param cause identity of what made the work fail, when several failures may have the same one
   */
  settle(permit: Permit, outcome: Outcome, kind: FailureKind, latencyMs: number, cause: object | undefined): void;
}

/**
 * Admitted work. It is settled exactly once, by `success`, `failure` or `ignore`; settling it again does nothing. It knows
 * the generation of the state that admitted it, so that a late result cannot be taken for one of a newer state.
 *
 * Costs one small object: no promise, closure or timer. `using permit = …` releases it when it was not settled.
 */
export class Permit {
  /** Tells a permit from a rejection. */
  declare readonly rejected: false;
  /** Generation of the owner's state that admitted the work. */
  readonly generation: number;
  /** Monotonic time of admission in milliseconds. */
  readonly admittedAtMs: number;
  /** How many the owner admitted before it, where the owner counts. */
  readonly sequence: number;
  #owner: PermitOwner | undefined;

  constructor(owner: PermitOwner, generation: number, admittedAtMs: number, sequence = 0) {
    this.#owner = owner;
    this.generation = generation;
    this.admittedAtMs = admittedAtMs;
    this.sequence = sequence;
  }

  get isSettled(): boolean {
    return this.#owner === undefined;
  }

  /** The work succeeded. @param latencyMs how long it took; measured by the owner's clock when not given */
  success(latencyMs = Number.NaN): void {
    this.#settle("success", "error", latencyMs, undefined);
  }

  /**
   * The work failed.
   *
   * @param cause what made it fail, for example the error of a lost connection: work that was under way together and has
   * the same cause counts as one failure
   */
  failure(kind: FailureKind = "error", latencyMs = Number.NaN, cause?: object): void {
    this.#settle("failure", kind, latencyMs, cause);
  }

  /** The work ended in a way that says nothing about the target, or was never started. */
  ignore(): void {
    this.#settle("ignore", "error", Number.NaN, undefined);
  }

  /** Settles by an outcome that was decided elsewhere. */
  settle(outcome: Outcome, kind: FailureKind, latencyMs: number, cause?: object): void {
    this.#settle(outcome, kind, latencyMs, cause);
  }

  /** Releases a permit that was not settled. */
  [Symbol.dispose](): void {
    this.ignore();
  }

  #settle(outcome: Outcome, kind: FailureKind, latencyMs: number, cause: object | undefined): void {
    const owner = this.#owner;
    if (owner === undefined) return;
    this.#owner = undefined;
    owner.settle(this, outcome, kind, latencyMs, cause);
  }
}

/** The answer to asking for admission; `admission.rejected` tells which it is. */
export type Admission<P extends Permit = Permit> = P | Rejection;

// On the prototype, because every permit says the same.
Object.defineProperty(Permit.prototype, "rejected", { value: false });
