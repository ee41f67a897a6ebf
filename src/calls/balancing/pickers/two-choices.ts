import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickHint, passingOver } from "./picker.ts";
import { drawByShare, mostShare } from "./slow-start.ts";

/** Which of two endpoints should have the call. */
export type Comparison = <E extends BalancedEndpoint>(a: E, b: E, nowMs: number) => E;

/**
 * Draws two endpoints at random and takes the better one: nearly as even as looking at all of them, without the herd that
 * runs to the one best ("the power of two choices", Mitzenmacher 2001).
 *
 * Of the calls that it would get so, an endpoint in its slow start takes its share by chance. To have it compare worse would
 * not do: from a client with few calls under way it would get none at all, from one with many too many.
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
    const a = endpoints[first] as E;
    const b = endpoints[second] as E;
    const better = this.#better(a, b, this.#nowMs);
    const share = better.load.share(this.#nowMs);
    // One under penalty was taken for a trial call, or because the other is no better.
    if (share === 1 || better.load.isPenalised(this.#nowMs)) return better;
    return this.#heldBack(better, better === a ? b : a);
  }

  /** The better one is new: that one by chance, otherwise the other one, otherwise one of all. */
  #heldBack(better: E, other: E): E {
    const nowMs = this.#nowMs;
    const most = mostShare(this.#endpoints, nowMs);
    if (this.#random.next() * most < better.load.share(nowMs)) return better;
    if (!other.load.isPenalised(nowMs) && this.#random.next() * most < other.load.share(nowMs)) return other;
    return drawByShare(this.#endpoints, better, this.#random, nowMs);
  }
}
