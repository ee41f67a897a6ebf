import { inStableOrder } from "../endpoint-list.ts";
import type { Resolution, Source } from "../refreshing-resolver.ts";
import { resolvedEndpoint } from "../resolver.ts";
import { addressesOfName, type NameOptions } from "./addresses-of-name.ts";

/** Every address of a name is an endpoint (`dns:///name:port`). */
export class NameSource implements Source {
  readonly #name: string;
  readonly #port: number;
  readonly #options: NameOptions;

  constructor(name: string, port: number, options: NameOptions) {
    this.#name = name;
    this.#port = port;
    this.#options = options;
  }

  async resolve(): Promise<Resolution> {
    const { addresses, ttlMs } = await addressesOfName(this.#name, this.#options);
    return { endpoints: inStableOrder(addresses.map(address => resolvedEndpoint(address, this.#port))), ttlMs };
  }

  close(): void {
    this.#options.client.close();
  }
}
