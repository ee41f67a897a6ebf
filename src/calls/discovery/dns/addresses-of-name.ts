import { type AddressRecord, type DnsClient, DnsError, type Network } from "../../../platform/index.ts";
import { ttlMaxMs, ttlMinMs, unknownTtlMs } from "../limits.ts";

/** The addresses of a name, and how long they may be kept. */
export interface NameAddresses {
  readonly addresses: readonly string[];
  readonly ttlMs: number;
}

export interface NameOptions {
  readonly client: DnsClient;
  readonly network: Network;
  /** Ask only DNS: a certain server was named. */
  readonly onlyDns: boolean;
  readonly family: 4 | 6 | undefined;
  readonly search: readonly string[];
}

/**
 * The addresses of a name: the machine's table of hosts first, as everywhere; then DNS, with the search domains; then,
 * where DNS has or knows nothing, whatever else the system asks (mDNS, its own search domains).
 * @throws (rejects) DnsError
 */
export async function addressesOfName(name: string, options: NameOptions): Promise<NameAddresses> {
  const { client, network, onlyDns } = options;
  if (!onlyDns) {
    const known = (await client.hosts(name)).filter(address => fits(address, options.family));
    if (known.length > 0) return { addresses: known, ttlMs: unknownTtlMs };
  }
  let failure: DnsError | undefined;
  for (const candidate of candidates(name, options.search)) {
    try {
      return await ask(candidate, options);
    } catch (error) {
      if (!(error instanceof DnsError)) throw error;
      failure ??= error;
      // Another name would hide that this one could not be asked for.
      if (error.reason !== "not_found") {
        failure = error;
        break;
      }
    }
  }
  if (failure === undefined) throw new DnsError("not_found", `there is nothing to ask for "${name}"`);
  if (onlyDns || failure.reason === "server_failure" || failure.reason === "timeout") throw failure;
  try {
    const found = await network.lookup(name);
    const addresses = found.map(({ address }) => address).filter(address => fits(address, options.family));
    if (addresses.length > 0) return { addresses, ttlMs: unknownTtlMs };
  } catch {
    // The answer of DNS says more.
  }
  throw failure;
}

/** The order of resolv.conf with `ndots:1`: names without a dot are local ones. */
function candidates(name: string, search: readonly string[]): readonly string[] {
  if (name.endsWith(".")) return [name.slice(0, -1)];
  const searched = search.map(domain => `${name}.${domain.replace(/^\.|\.$/g, "")}`);
  return name.includes(".") ? [name, ...searched] : [...searched, name];
}

async function ask(name: string, { client, family }: NameOptions): Promise<NameAddresses> {
  const families = family === undefined ? ([4, 6] as const) : ([family] as const);
  const answers = await Promise.allSettled(families.map(one => client.resolveAddresses(name, one)));
  const records: AddressRecord[] = [];
  let failure: unknown;
  for (const answer of answers) {
    if (answer.status === "fulfilled") records.push(...answer.value);
    else if (failure === undefined || !isNotFound(answer.reason)) failure = answer.reason;
  }
  if (records.length === 0) throw failure ?? new DnsError("not_found", `DNS knows no address of ${name}`);
  return {
    addresses: records.map(({ address }) => address),
    ttlMs: records.reduce((ttlMs, { ttlSeconds }) => Math.min(ttlMs, clampedTtlMs(ttlSeconds)), ttlMaxMs),
  };
}

function isNotFound(error: unknown): boolean {
  return error instanceof DnsError && error.reason === "not_found";
}

/** A time to live as it is obeyed. RFC 2181, section 8: what has the highest bit set counts as 0. */
export function clampedTtlMs(ttlSeconds: number): number {
  if (Number.isNaN(ttlSeconds)) return unknownTtlMs;
  if (ttlSeconds >= 2 ** 31) return ttlMinMs;
  return Math.min(Math.max(ttlSeconds * 1_000, ttlMinMs), ttlMaxMs);
}

function fits(address: string, family: 4 | 6 | undefined): boolean {
  return family === undefined || address.includes(":") === (family === 6);
}
