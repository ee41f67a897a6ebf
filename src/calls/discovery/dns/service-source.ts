import { DnsError } from "../../../platform/index.ts";
import { inStableOrder } from "../endpoint-list.ts";
import { serviceQueriesMax, serviceTargetsMax, unknownTtlMs } from "../limits.ts";
import type { Resolution, Source } from "../refreshing-resolver.ts";
import { type ResolvedEndpoint, resolvedEndpoint } from "../resolver.ts";
import { isPort } from "../target.ts";
import { addressesOfName, type NameAddresses, type NameOptions } from "./addresses-of-name.ts";

/**
 * The addresses of the targets in a set of service records (`dns+srv:///_grpc._tcp.name`, RFC 2782), with their priorities
 * and weights.
 */
export class ServiceSource implements Source {
  readonly #record: string;
  readonly #options: NameOptions;
  /** What was last known of each target, for those whose query fails. */
  #known = new Map<string, NameAddresses>();

  constructor(record: string, options: NameOptions) {
    this.#record = record;
    this.#options = options;
  }

  async resolve(): Promise<Resolution> {
    const records = (await this.#options.client.resolveServices(this.#record))
      .filter(({ name, port }) => name !== "" && name !== "." && isPort(port))
      .sort((a, b) => a.priority - b.priority)
      .slice(0, serviceTargetsMax);
    if (records.length === 0) throw new DnsError("not_found", `DNS says that ${this.#record} has no server`);
    const endpoints: ResolvedEndpoint[] = [];
    const known = new Map<string, NameAddresses>();
    const names = [...new Set(records.map(({ name }) => name))];
    let ttlMs = unknownTtlMs;
    let failure: unknown;
    const askInTurn = async (): Promise<void> => {
      for (let name = names.pop(); name !== undefined; name = names.pop()) {
        try {
          known.set(name, await addressesOfName(name, this.#options));
        } catch (error) {
          failure ??= error;
          const before = this.#known.get(name);
          const isGone = error instanceof DnsError && error.reason === "not_found";
          if (before !== undefined && !isGone) known.set(name, before);
        }
      }
    };
    await Promise.all(Array.from({ length: serviceQueriesMax }, askInTurn));
    for (const { name, port, weight, priority } of records) {
      const found = known.get(name);
      if (found === undefined) continue;
      ttlMs = Math.min(ttlMs, found.ttlMs);
      for (const address of found.addresses) {
        // A target's share is divided among its addresses. Weight 0 is "very little", not nothing (RFC 2782).
        const share = Math.max(weight, 1) / found.addresses.length;
        endpoints.push(resolvedEndpoint(address, port, { weight: share, priority, hostname: name }));
      }
    }
    if (endpoints.length === 0) throw failure;
    this.#known = known;
    return { endpoints: inStableOrder(endpoints), ttlMs };
  }

  close(): void {
    this.#options.client.close();
  }
}
