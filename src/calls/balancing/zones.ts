import type { EndpointLoad } from "./endpoint-load.ts";
import { zoneReviewMs } from "./limits.ts";
import type { BalancedEndpoint } from "./pickers/index.ts";

export interface ZoneSplit<E> {
  /** Usable endpoints in the client's zone. */
  readonly local: readonly E[];
  /** Usable endpoints elsewhere. */
  readonly remote: readonly E[];
  /** How many zones there are. */
  readonly zones: number;
}

/**
 * Tells endpoints in the client's zone from those elsewhere.
 * @param all every endpoint, which tells how many zones there are
 * @param usable those that take calls now
 */
export function splitByZone<E extends BalancedEndpoint>(
  zone: string | undefined,
  all: readonly E[],
  usable: readonly E[],
): ZoneSplit<E> {
  if (zone === undefined) return { local: [], remote: usable, zones: 1 };
  return {
    local: usable.filter(endpoint => endpoint.zone === zone),
    remote: usable.filter(endpoint => endpoint.zone !== zone),
    zones: new Set(all.map(endpoint => endpoint.zone)).size,
  };
}

/**
 * The share of calls that stays in the zone: as many as the endpoints there can bear. Clients are taken to be spread evenly
 * over the zones, so a zone gets 1/zones of all calls; with less than that share of the weight the rest spills over (after
 * Envoy's zone aware routing). What fails at the moment bears nothing, so that the loss of a zone is not the loss of its
 * clients: only so many of its endpoints may be ejected. What is new bears little, so that a zone that comes back gets its
 * calls back slowly. Where all fail alike, all count.
 */
export function localShareOf<E extends BalancedEndpoint>(
  { local, remote, zones }: ZoneSplit<E>,
  nowMs: number,
): number {
  if (local.length === 0) return 0;
  if (remote.length === 0) return 1;
  const here = workingWeightOf(local, nowMs);
  const elsewhere = workingWeightOf(remote, nowMs);
  if (here + elsewhere > 0) return Math.min(1, (here / (here + elsewhere)) * zones);
  return Math.min(1, (weightOf(local) / (weightOf(local) + weightOf(remote))) * zones);
}

/** When to reckon {@link localShareOf} anew though no call has ended; also when a trial call is due in the zone. */
export function reviewAtMs<E extends BalancedEndpoint>({ local, remote }: ZoneSplit<E>, nowMs: number): number {
  let atMs = Number.POSITIVE_INFINITY;
  if (local.length === 0 || remote.length === 0) return atMs;
  for (const { load } of local) {
    atMs = Math.min(atMs, changesAtMs(load, nowMs));
    if (load.isPenalised(nowMs)) atMs = Math.min(atMs, load.trialAtMs);
  }
  for (const { load } of remote) atMs = Math.min(atMs, changesAtMs(load, nowMs));
  return atMs;
}

function changesAtMs(load: EndpointLoad, nowMs: number): number {
  if (load.isPenalised(nowMs)) return load.penalisedUntilMs;
  return load.share(nowMs) < 1 ? nowMs + zoneReviewMs : Number.POSITIVE_INFINITY;
}

function workingWeightOf(endpoints: readonly BalancedEndpoint[], nowMs: number): number {
  let sum = 0;
  for (const { weight, load } of endpoints) if (!load.isPenalised(nowMs)) sum += weight * load.share(nowMs);
  return sum;
}

function weightOf(endpoints: readonly BalancedEndpoint[]): number {
  return endpoints.reduce((sum, { weight }) => sum + weight, 0);
}
