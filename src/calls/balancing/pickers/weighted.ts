import type { Random } from "../../../platform/index.ts";
import { type BalancedEndpoint, type Picker, type PickerFactory, type PickHint, passingOver } from "./picker.ts";

/**
 * Each endpoint as often as its weight says, evenly spread: nginx's smooth weighted round robin. New endpoints weigh less
 * in their slow start. A pick looks at every endpoint.
 */
class WeightedPicker<E extends BalancedEndpoint> implements Picker<E> {
  readonly #endpoints: readonly E[];
  readonly #current: Float64Array;
  #nowMs = 0;
  readonly #next = (): E => this.#turn();

  constructor(endpoints: readonly E[], random: Random) {
    this.#endpoints = endpoints;
    this.#current = Float64Array.from(endpoints, ({ weight }) => random.next() * weight);
  }

  pick(nowMs: number, hint: PickHint<E> | undefined): E {
    this.#nowMs = nowMs;
    return passingOver(this.#endpoints, hint?.avoid, this.#next);
  }

  #turn(): E {
    const endpoints = this.#endpoints;
    const current = this.#current;
    let total = 0;
    let best = 0;
    for (let index = 0; index < endpoints.length; index++) {
      const { weight, load } = endpoints[index] as E;
      const effective = weight * load.share(this.#nowMs);
      total += effective;
      current[index] = (current[index] as number) + effective;
      if ((current[index] as number) > (current[best] as number)) best = index;
    }
    current[best] = (current[best] as number) - total;
    return endpoints[best] as E;
  }
}

export const weighted: PickerFactory = (endpoints, random) => new WeightedPicker(endpoints, random);
