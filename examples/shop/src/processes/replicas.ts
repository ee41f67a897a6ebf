import { parseServiceName, portOf, type ServiceName, services } from "./services.ts";

/** How many instances of each service there are. */
export type Replicas = ReadonlyMap<ServiceName, number>;

const option = "--replicas";

/**
 * Reads `--replicas customer=3`; several are separated by commas, services that are not named have one instance.
 * @param only the services that are started
 * @throws TypeError naming the option and what is wrong with it
 */
export function parseReplicas(text: string | undefined, only: readonly ServiceName[], offset: number): Replicas {
  const replicas = new Map<ServiceName, number>(only.map(name => [name, 1]));
  if (text === undefined) return replicas;
  const named = new Set<ServiceName>();
  for (const part of text.split(",")) {
    const [service, digits, ...rest] = part.split("=");
    if (service === undefined || digits === undefined || rest.length > 0) {
      throw new TypeError(`${option}: "${part}" is not service=number, for example customer=3`);
    }
    const name = parseServiceName(service, option);
    if (!only.includes(name)) throw new TypeError(`${option}: ${name} is not started; --only leaves it out`);
    if (named.has(name)) throw new TypeError(`${option}: ${name} is named twice`);
    named.add(name);
    replicas.set(name, parseCount(name, digits.trim(), offset));
  }
  return replicas;
}

function parseCount(name: ServiceName, digits: string, offset: number): number {
  const max = services.find(service => service.name === name)?.instancesMax ?? 1;
  const count = /^[0-9]{1,3}$/.test(digits) ? Number(digits) : Number.NaN;
  if (!(count >= 1 && count <= max)) {
    const expected = max === 1 ? "1, because it alone writes its database" : `a number from 1 to ${max}`;
    throw new TypeError(`${option}: expected ${expected} for ${name}, got "${digits}"`);
  }
  const lastPort = portOf(name, offset, count);
  if (lastPort > 65_535) {
    throw new TypeError(`${option}: ${name}=${count} would take port ${lastPort}; choose a smaller PORT_OFFSET`);
  }
  return count;
}
