import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickerFactory, type PickHint, passingOver } from "./picker.ts";

/**
 * Each endpoint in its turn, whatever its weight. Clients begin at different ones. In its slow start an endpoint saves its
 * share of each turn until that makes a whole one.
 */
class RoundRobinPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  /** Parts of turns that endpoints have saved; by chance to begin with, as a client may have few calls for one list. */
  readonly #saved: Float64Array;
  #index: number;
  #nowMs = 0;
  readonly #next = (): E => this.#turn();

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#index = random.below(endpoints.length);
    this.#saved = Float64Array.from(endpoints, () => random.next());
  }

  pick(nowMs: number, hint: PickHint<E> | undefined): E {
    this.#nowMs = nowMs;
    return passingOver(this.#endpoints, hint?.avoid, this.#next);
  }

  #turn(): E {
    const endpoints = this.#endpoints;
    const saved = this.#saved;
    // Ends after a few rounds: no share is below a tenth.
    for (;;) {
      this.#index = (this.#index + 1) % endpoints.length;
      const endpoint = endpoints[this.#index] as E;
      const share = endpoint.load.share(this.#nowMs);
      if (share === 1) return endpoint;
      const sum = (saved[this.#index] as number) + share;
      saved[this.#index] = sum >= 1 ? sum - 1 : sum;
      if (sum >= 1) return endpoint;
    }
  }
}

export const roundRobin: PickerFactory = (endpoints, random) => new RoundRobinPicker(endpoints, random);
