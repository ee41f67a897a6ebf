/** Open connections by client address. */
export class AddressCounts {
  readonly #counts = new Map<string, number>();

  /** Counts one more, unless the address has `max`; loopback is not counted. */
  tryAdd(address: string, max: number): boolean {
    if (isLoopback(address)) return true;
    const key = countedAddress(address);
    const count = this.#counts.get(key) ?? 0;
    if (count >= max) return false;
    this.#counts.set(key, count + 1);
    return true;
  }

  remove(address: string): void {
    if (isLoopback(address)) return;
    const key = countedAddress(address);
    const count = this.#counts.get(key) ?? 0;
    if (count > 1) this.#counts.set(key, count - 1);
    else this.#counts.delete(key);
  }

  get size(): number {
    return this.#counts.size;
  }
}

const mapped = /^::ffff:([0-9.]+)$/i;

function isLoopback(address: string): boolean {
  return address === "::1" || address.startsWith("127.") || address.startsWith("::ffff:127.");
}

/** What counts as one client: an IPv4 address, or the /64 network of an IPv6 address. */
export function countedAddress(address: string): string {
  const ipv4 = mapped.exec(address)?.[1];
  if (ipv4 !== undefined) return ipv4;
  if (!address.includes(":")) return address;
  const [head = "", tail] = (address.split("%")[0] ?? "").split("::");
  const front = head === "" ? [] : head.split(":");
  const back = tail === undefined || tail === "" ? [] : tail.split(":");
  const zeros = tail === undefined ? 0 : 8 - front.length - back.length;
  const groups = [...front, ...new Array<string>(Math.max(zeros, 0)).fill("0"), ...back];
  return `${groups.slice(0, 4).join(":")}::/64`;
}
