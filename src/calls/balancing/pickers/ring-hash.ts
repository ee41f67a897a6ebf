import type { Random } from "../../../platform/index.ts";
import { hashText } from "../hash.ts";
import type { BalancedEndpoint, Picker, PickerFactory, PickHint } from "./picker.ts";

/** Places on the ring of an endpoint of average weight; shares then differ by some 8 % (their spread is 1/√places). */
const placesPerEndpoint = 160;
/** An endpoint takes at most this much more than its share of what is under way. */
const loadFactor = 1.25;

/**
 * Calls with equal keys go to the same endpoint; when endpoints come and go, few keys move (consistent hashing, Karger
 * 1997). An endpoint that has more than its share under way passes keys on to the next on the ring ("with bounded loads",
 * Mirrokni, Thorup and Zadimoghaddam 2016). Calls without a key go anywhere.
 *
 * In its slow start an endpoint has only a part of its places, and gets more of them: each of its keys moves there once.
 */
class RingHashPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  readonly #random: Random;
  /** Hashes in ascending order, and the endpoint at each. */
  readonly #hashes: Uint32Array;
  readonly #owners: Uint32Array;
  /** The share that the owner must be above, beside the one with the most, for the place to be its own. */
  readonly #thresholds: Float64Array;
  // What a pick finds out of all endpoints:
  #pending = 0;
  #weights = 0;
  #mostShare = 1;

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#random = random;
    const mean = endpoints.reduce((sum, { weight }) => sum + weight, 0) / endpoints.length;
    const places = endpoints.flatMap(({ key, weight }, owner) => {
      const count = Math.max(1, Math.round((placesPerEndpoint * weight) / mean));
      return Array.from({ length: count }, (_, place) => ({
        hash: hashText(`${key}#${place}`),
        owner,
        threshold: place / count,
      }));
    });
    places.sort((a, b) => a.hash - b.hash || a.owner - b.owner);
    this.#hashes = Uint32Array.from(places, ({ hash }) => hash);
    this.#owners = Uint32Array.from(places, ({ owner }) => owner);
    this.#thresholds = Float64Array.from(places, ({ threshold }) => threshold);
  }

  pick(nowMs: number, hint: PickHint<E> | undefined): E {
    const key = hint?.hashKey;
    const hash = key === undefined ? this.#random.below(2 ** 32) : hashText(key);
    const owners = this.#owners;
    const start = this.#placeOf(hash);
    this.#look(nowMs);
    for (let step = 0; step < owners.length; step++) {
      const place = (start + step) % owners.length;
      const endpoint = this.#endpoints[owners[place] as number] as E;
      if (endpoint === hint?.avoid && this.#endpoints.length > 1) continue;
      const share = endpoint.load.share(nowMs);
      if (share <= (this.#thresholds[place] as number) * this.#mostShare) continue;
      const portion = ((endpoint.weight * share) / this.#weights) * (this.#pending + 1);
      if (endpoint.load.pending < Math.ceil(portion * loadFactor)) return endpoint;
    }
    // Not reached: the shares add up to more than what is under way. With one to avoid the others may all be full.
    return this.#endpoints.find(endpoint => endpoint !== hint?.avoid) ?? (this.#endpoints[0] as E);
  }

  #look(nowMs: number): void {
    let pending = 0;
    let weights = 0;
    let most = 0;
    for (const { load, weight } of this.#endpoints) {
      const share = load.share(nowMs);
      pending += load.pending;
      weights += weight * share;
      if (share > most) most = share;
    }
    this.#pending = pending;
    this.#weights = weights;
    this.#mostShare = most;
  }

  /** The first place at or after a hash; past the last one it is the first. */
  #placeOf(hash: number): number {
    const hashes = this.#hashes;
    let low = 0;
    let high = hashes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if ((hashes[middle] as number) < hash) low = middle + 1;
      else high = middle;
    }
    return low === hashes.length ? 0 : low;
  }
}

export const ringHash: PickerFactory = (endpoints, random) => new RingHashPicker(endpoints, random);
