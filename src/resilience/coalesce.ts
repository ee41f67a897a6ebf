import { coalesceKeysMax } from "./limits.ts";
import { count, knownOptions, numberOption } from "./options.ts";
import { type Machine, machineOf, type PartOptions, partOptionNames, type RunOptions, type Work } from "./part.ts";
import { type Plan, planOf } from "./plan.ts";
import { execute } from "./run.ts";

export interface CoalesceOptions extends PartOptions {
  /** Reads under way that can be shared; a further key runs by itself. @default 10,000 */
  readonly keysMax?: number | undefined;
}

/** One read under way, and those who wait for it. */
interface Flight {
  readonly result: Promise<unknown>;
  readonly controller: AbortController;
  callers: number;
  isOver: boolean;
}

/**
 * Lets callers that ask for the same thing at the same time share one read. Each keeps its own signal and deadline: leaving
 * disturbs nobody, and the read is aborted only when the last one has left. Made by {@link coalesce}.
 */
export class Coalesce {
  readonly #keysMax: number;
  readonly #flights = new Map<string, Flight>();
  readonly #machine: Machine;
  readonly #alone: Plan;

  /** @throws TypeError, RangeError when an option is wrong */
  constructor(options: CoalesceOptions = {}, path = "coalesce") {
    knownOptions(path, options, [...partOptionNames, "keysMax"]);
    this.#machine = machineOf(options);
    this.#keysMax = numberOption(`${path}.keysMax`, options.keysMax, coalesceKeysMax, count);
    this.#alone = planOf(this.#machine, { name: options.name });
  }

  /** Reads under way. */
  get size(): number {
    return this.#flights.size;
  }

  /** Guards one read; `key` of the options says what is read, and without it the read is not shared. */
  run<T>(work: Work<T>, options: RunOptions = {}): Promise<T> {
    return this.join(this.#alone, this.#alone, work, options);
  }

  /**
   * Joins the read of the key, or begins it.
   *
   * @param waiting how each caller waits for it
   * @param reading how the read itself is made, once for all: with nobody's signal or deadline, but the plan's time-outs
   */
  join<T>(waiting: Plan, reading: Plan, work: Work<T>, options: RunOptions): Promise<T> {
    const { key } = options;
    if (key === undefined || options.signal?.aborted === true) return execute(waiting, work, options);
    const flight = this.#flights.get(key) ?? this.#begin(key, reading, work, options);
    flight.callers++;
    const result = flight.result as Promise<T>;
    return execute(waiting, () => result, options).finally(() => this.#leave(key, flight));
  }

  #begin(key: string, reading: Plan, work: Work<unknown>, options: RunOptions): Flight {
    const controller = new AbortController();
    const result = execute(reading, work, {
      ...options,
      signal: controller.signal,
      deadline: undefined,
      timeoutMs: undefined,
    });
    const flight: Flight = { result, controller, callers: 0, isOver: false };
    if (this.#flights.size < this.#keysMax) this.#flights.set(key, flight);
    const land = () => {
      flight.isOver = true;
      this.#forget(key, flight);
    };
    result.then(land, land);
    return flight;
  }

  #leave(key: string, flight: Flight): void {
    if (--flight.callers > 0 || flight.isOver) return;
    // Whoever comes now must not join a read that is being aborted.
    this.#forget(key, flight);
    flight.controller.abort(new DOMException("all callers of the shared read have left", "AbortError"));
  }

  #forget(key: string, flight: Flight): void {
    if (this.#flights.get(key) === flight) this.#flights.delete(key);
  }
}

/**
 * Coalescing of identical reads: while one is under way, others with the same key wait for it instead of being sent.
 *
 * ```ts
 * const shared = coalesce();
 * const load = (id: string, signal: AbortSignal) => shared.run(inner => fetchOrder(id, inner), { key: id, signal });
 * ```
 *
 * As Go's singleflight, but with callers that can leave.
 *
 * @throws TypeError, RangeError when an option is wrong
 */
export function coalesce(options: CoalesceOptions = {}): Coalesce {
  return new Coalesce(options);
}
