import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickHint, passingOver } from "./picker.ts";

/** Which of two endpoints should have the call. */
export type Comparison = <E extends BalancedEndpoint>(a: E, b: E, nowMs: number) => E;

/**
 * Draws two endpoints at random and takes the better one: nearly as even as looking at all of them, without the herd that
 * runs to the one best ("the power of two choices", Mitzenmacher 2001).
 */
export class TwoChoicesPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  readonly #random: Random;
  readonly #better: Comparison;
  #nowMs = 0;
  readonly #next = (): E => this.#draw();

  constructor(endpoints: readonly E[], random: Random, better: Comparison) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#better = better;
  }

  pick(nowMs: number, hint: PickHint<E> | undefined): E {
    this.#nowMs = nowMs;
    return passingOver(this.#endpoints, hint?.avoid, this.#next);
  }

  #draw(): E {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (count === 1) return endpoints[0] as E;
    const first = this.#random.below(count);
    // One of the others, each as likely.
    const second = (first + 1 + this.#random.below(count - 1)) % count;
    return this.#better(endpoints[first] as E, endpoints[second] as E, this.#nowMs);
  }
}
