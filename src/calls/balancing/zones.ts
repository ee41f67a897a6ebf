import type { BalancedEndpoint } from "./pickers/index.ts";

export interface ZoneSplit<E> {
  /** Usable endpoints in the client's zone. */
  readonly local: readonly E[];
  /** Usable endpoints elsewhere. */
  readonly remote: readonly E[];
  /** The share of calls that stays in the zone. */
  readonly localShare: number;
}

/**
 * Keeps calls in the client's zone as far as the endpoints there can bear it. Clients are taken to be spread evenly over
 * the zones, so a zone gets 1/zones of all calls; with less than that share of the usable weight the rest spills over
 * (after Envoy's zone aware routing).
 * @param all every endpoint, which tells how many zones there are
 * @param usable those that take calls now
 */
export function splitByZone<E extends BalancedEndpoint>(
  zone: string | undefined,
  all: readonly E[],
  usable: readonly E[],
): ZoneSplit<E> {
  const local = zone === undefined ? [] : usable.filter(endpoint => endpoint.zone === zone);
  if (local.length === 0) return { local, remote: usable, localShare: 0 };
  const remote = usable.filter(endpoint => endpoint.zone !== zone);
  if (remote.length === 0) return { local, remote, localShare: 1 };
  const zones = new Set(all.map(endpoint => endpoint.zone)).size;
  return { local, remote, localShare: Math.min(1, (weightOf(local) / weightOf(usable)) * zones) };
}

function weightOf(endpoints: readonly BalancedEndpoint[]): number {
  return endpoints.reduce((sum, { weight }) => sum + weight, 0);
}
