import type { Clock } from "../clock.ts";
import {
  type AddressRecord,
  type DnsClient,
  DnsError,
  type DnsFailureReason,
  type DnsOptions,
  type ServiceRecord,
} from "../network.ts";

/** A DNS server inside the process: what it answers is set by tests, and may change at any time. */
export class VirtualDns {
  readonly addresses = new Map<string, readonly AddressRecord[]>();
  readonly services = new Map<string, readonly ServiceRecord[]>();
  /** While set, every query fails so. */
  failure: DnsFailureReason | undefined;
  /** Until an answer comes. */
  delayMs = 0;
  /** Every query, as `A name`, in order. */
  readonly queries: string[] = [];
  readonly #clock: Clock;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Replaces the A and AAAA records of a name; none: the name does not exist. */
  set(name: string, addresses: readonly string[], ttlSeconds = 60): void {
    if (addresses.length === 0) this.addresses.delete(name);
    else
      this.addresses.set(
        name,
        addresses.map(address => ({ address, ttlSeconds })),
      );
  }

  client(_options: DnsOptions, hosts: (name: string) => readonly string[]): DnsClient {
    let isClosed = false;
    const answer = async <T>(type: string, name: string, read: () => readonly T[] | undefined) => {
      this.queries.push(`${type} ${name}`);
      if (this.delayMs > 0) await new Promise<void>(resolve => this.#clock.after(this.delayMs, resolve));
      if (isClosed) throw new DnsError("timeout", `DNS query ${type} ${name}: ECANCELLED`);
      if (this.failure !== undefined) throw new DnsError(this.failure, `DNS query ${type} ${name}: ${this.failure}`);
      const found = read();
      if (found === undefined || found.length === 0) throw new DnsError("not_found", `DNS query ${type} ${name}: none`);
      return found;
    };
    return {
      resolveAddresses: (name, family) =>
        answer(family === 4 ? "A" : "AAAA", name, () =>
          this.addresses.get(name)?.filter(({ address }) => address.includes(":") === (family === 6)),
        ),
      resolveServices: name => answer("SRV", name, () => this.services.get(name)),
      hosts: async name => hosts(name),
      close: () => {
        isClosed = true;
      },
    };
  }
}
