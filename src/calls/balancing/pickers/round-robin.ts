import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickerFactory, type PickHint, passingOver } from "./picker.ts";

/** Each endpoint in its turn, whatever its weight. Clients begin at different ones. */
class RoundRobinPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  #index: number;
  readonly #next = (): E => {
    this.#index = (this.#index + 1) % this.#endpoints.length;
    return this.#endpoints[this.#index] as E;
  };

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#index = random.below(endpoints.length);
  }

  pick(_nowMs: number, hint: PickHint<E> | undefined): E {
    return passingOver(this.#endpoints, hint?.avoid, this.#next);
  }
}

export const roundRobin: PickerFactory = (endpoints, random) => new RoundRobinPicker(endpoints, random);
