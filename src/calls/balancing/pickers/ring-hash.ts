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
 */
class RingHashPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  readonly #random: Random;
  /** Hashes in ascending order, and the endpoint at each. */
  readonly #hashes: Uint32Array;
  readonly #owners: Uint32Array;
  readonly #weights: number;

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#random = random;
    this.#weights = endpoints.reduce((sum, { weight }) => sum + weight, 0);
    const mean = this.#weights / endpoints.length;
    const places = endpoints.flatMap(({ key, weight }, owner) =>
      Array.from({ length: Math.max(1, Math.round((placesPerEndpoint * weight) / mean)) }, (_, place) => ({
        hash: hashText(`${key}#${place}`),
        owner,
      })),
    );
    places.sort((a, b) => a.hash - b.hash || a.owner - b.owner);
    this.#hashes = Uint32Array.from(places, ({ hash }) => hash);
    this.#owners = Uint32Array.from(places, ({ owner }) => owner);
  }

  pick(_nowMs: number, hint: PickHint<E> | undefined): E {
    const key = hint?.hashKey;
    const hash = key === undefined ? this.#random.below(2 ** 32) : hashText(key);
    const owners = this.#owners;
    const start = this.#placeOf(hash);
    const pending = this.#pending();
    for (let step = 0; step < owners.length; step++) {
      const endpoint = this.#endpoints[owners[(start + step) % owners.length] as number] as E;
      if (endpoint === hint?.avoid && this.#endpoints.length > 1) continue;
      const share = (endpoint.weight / this.#weights) * (pending + 1);
      if (endpoint.load.pending < Math.ceil(share * loadFactor)) return endpoint;
    }
    // Not reached: the shares add up to more than what is under way. With one to avoid the others may all be full.
    return this.#endpoints.find(endpoint => endpoint !== hint?.avoid) ?? (this.#endpoints[0] as E);
  }

  #pending(): number {
    let pending = 0;
    for (const { load } of this.#endpoints) pending += load.pending;
    return pending;
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
