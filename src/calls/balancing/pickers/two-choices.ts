import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickHint, passingOver } from "./picker.ts";
import { drawByShare, mostShare } from "./slow-start.ts";

/** Draws by weight for an endpoint that is not the first one. */
const drawsMax = 3;

/** Which of two endpoints should have the call; `a` where it makes no difference. `places` says how full they are. */
export type Comparison = <E extends BalancedEndpoint>(a: E, b: E, nowMs: number, places: Places) => E;

/** How full endpoints are, by their calls under way. */
export class Places {
  readonly #random: Random;
  /** `undefined` where all weights are the same. */
  readonly #meanWeight: number | undefined;

  constructor(random: Random, meanWeight: number | undefined) {
    this.#random = random;
    this.#meanWeight = meanWeight;
  }

  /**
   * Calls under way for each unit of the weight that an endpoint has on average. Where weights differ, a part of one call is
   * added by chance: otherwise any idle endpoint, however light, would go before a heavy one that has a single call.
   */
  taken({ load, weight }: BalancedEndpoint, nowMs: number): number {
    const { pending } = load;
    if (this.#meanWeight === undefined) return pending / load.share(nowMs);
    return ((pending + this.#random.next()) * this.#meanWeight) / (load.share(nowMs) * weight);
  }

  /** Whether two endpoints can only be told apart by their weights. */
  areEmpty(a: BalancedEndpoint, b: BalancedEndpoint): boolean {
    return this.#meanWeight !== undefined && a.load.pending === 0 && b.load.pending === 0;
  }
}

/**
 * Draws two endpoints at random and takes the better one: nearly as even as looking at all of them, without the herd that
 * runs to the one best ("the power of two choices", Mitzenmacher 2001).
 *
 * Where weights differ, each is drawn as often as its weight says. The first drawn has the call unless the other is better, so
 * that weights hold too where nothing waits. To divide by them in the comparison would not do: from a client with few calls
 * under way a lighter endpoint would get none at all.
 *
 * Of the calls that it would get so, an endpoint in its slow start takes its share by chance, for the same reason.
 */
export class TwoChoicesPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  readonly #random: Random;
  readonly #better: Comparison;
  /** Sums of the weights up to each endpoint; `undefined` where all weights are the same. */
  readonly #sums: Float64Array | undefined;
  readonly #places: Places;
  #nowMs = 0;
  readonly #next = (): E => this.#draw();

  constructor(endpoints: readonly E[], random: Random, better: Comparison) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#better = better;
    const sums = new Float64Array(endpoints.length);
    let sum = 0;
    let isEven = true;
    for (const [index, { weight }] of endpoints.entries()) {
      sum += weight;
      sums[index] = sum;
      isEven &&= weight === endpoints[0]?.weight;
    }
    this.#sums = isEven ? undefined : sums;
    this.#places = new Places(random, this.#sums === undefined ? undefined : sum / endpoints.length);
  }

  pick(nowMs: number, hint: PickHint<E> | undefined): E {
    this.#nowMs = nowMs;
    return passingOver(this.#endpoints, hint?.avoid, this.#next);
  }

  #draw(): E {
    const endpoints = this.#endpoints;
    const count = endpoints.length;
    if (count === 1) return endpoints[0] as E;
    const first = this.#sums === undefined ? this.#random.below(count) : this.#drawByWeight(this.#sums);
    let second = first;
    // Of one that outweighs all others this ends after a few tries; another one is taken then by chance alone.
    for (let tries = 0; this.#sums !== undefined && second === first && tries < drawsMax; tries++) {
      second = this.#drawByWeight(this.#sums);
    }
    // One of the others, each as likely.
    if (second === first) second = (first + 1 + this.#random.below(count - 1)) % count;
    const a = endpoints[first] as E;
    const b = endpoints[second] as E;
    const better = this.#better(a, b, this.#nowMs, this.#places);
    const share = better.load.share(this.#nowMs);
    // One under penalty was taken for a trial call, or because the other is no better.
    if (share === 1 || better.load.isPenalised(this.#nowMs)) return better;
    return this.#heldBack(better, better === a ? b : a);
  }

  /** The first whose sum is above a number below the sum of all. */
  #drawByWeight(sums: Float64Array): number {
    const drawn = this.#random.next() * (sums[sums.length - 1] as number);
    let low = 0;
    let high = sums.length - 1;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((sums[middle] as number) > drawn) high = middle;
      else low = middle + 1;
    }
    return low;
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
