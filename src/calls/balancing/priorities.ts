import type { EndpointLoad } from "./endpoint-load.ts";
import type { Outlier } from "./outlier.ts";

/** An endpoint as failover sees it. */
export interface PrioritisedEndpoint {
  /** Lower goes first. */
  readonly priority: number;
  readonly isReady: boolean;
  readonly load: EndpointLoad;
  readonly outlier: Outlier;
}

/** All endpoints of one priority, at least one. */
export type Level<E> = readonly E[];

/** Endpoints by their priority, the best first; the sequence within each is kept. */
export function levelsOf<E extends PrioritisedEndpoint>(endpoints: readonly E[]): readonly Level<E>[] {
  const byPriority = new Map<number, E[]>();
  for (const endpoint of endpoints) {
    const level = byPriority.get(endpoint.priority);
    if (level === undefined) byPriority.set(endpoint.priority, [endpoint]);
    else level.push(endpoint);
  }
  return [...byPriority].sort(([a], [b]) => a - b).map(([, level]) => level);
}

/**
 * Which level takes the calls: the first one with an endpoint that works, as a client "MUST attempt to contact the target
 * host with the lowest-numbered priority it can reach" (RFC 2782). One failure says little: an endpoint counts as not
 * working when it failed again after that was known, and has not succeeded since ({@link EndpointLoad.isFailing}).
 *
 * Where nothing works the endpoint with the smallest penalty decides: it has failed least.
 */
export function levelInUse<E extends PrioritisedEndpoint>(levels: readonly Level<E>[], nowMs: number): number {
  let best = 0;
  let bestMs = Number.POSITIVE_INFINITY;
  for (let index = 0; index < levels.length; index++) {
    for (const endpoint of levels[index] ?? []) {
      if (!mayTakeCalls(endpoint, nowMs)) continue;
      if (!endpoint.load.isFailing(nowMs)) return index;
      const penaltyMs = endpoint.load.costMs(nowMs);
      if (penaltyMs >= bestMs) continue;
      best = index;
      bestMs = penaltyMs;
    }
  }
  return best;
}

/** Neither its registry nor ejection leaves it out. */
export function mayTakeCalls({ isReady, outlier }: PrioritisedEndpoint, nowMs: number): boolean {
  return isReady && !outlier.isEjected(nowMs);
}

/**
 * Some endpoint but the one to avoid that takes calls, beginning at a given place so that all get their turn.
 * @param worksOnly none that is failing
 */
export function anotherOf<E extends PrioritisedEndpoint>(
  level: Level<E>,
  start: number,
  avoid: E | undefined,
  worksOnly: boolean,
  nowMs: number,
): E | undefined {
  for (let step = 0; step < level.length; step++) {
    const endpoint = level[(start + step) % level.length] as E;
    if (endpoint === avoid || !mayTakeCalls(endpoint, nowMs)) continue;
    if (!worksOnly || !endpoint.load.isFailing(nowMs)) return endpoint;
  }
  return undefined;
}
