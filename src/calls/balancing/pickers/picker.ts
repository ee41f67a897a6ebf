import type { Random } from "../../../platform/index.ts";
import type { EndpointLoad } from "../endpoint-load.ts";

/** An endpoint as balancing sees it. */
export interface BalancedEndpoint {
  /** Its address, unique in the list. */
  readonly key: string;
  /** How much it takes beside the others; above 0. */
  readonly weight: number;
  readonly zone: string | undefined;
  /** `false`: it says, or its registry says, that it takes no work. */
  readonly isReady: boolean;
  readonly load: EndpointLoad;
}

/** What a call says about where it wants to go. */
export interface PickHint<E> {
  /** Where an attempt of the same call failed: another one is taken where there is one. */
  readonly avoid?: E | undefined;
  /** Calls with equal keys go to the same endpoint, where the rule looks at it (ring hash). */
  readonly hashKey?: string | undefined;
}

/** Chooses among endpoints that are all usable. Made anew when the list changes; state that lasts is the endpoints'. */
export interface Picker<E extends BalancedEndpoint> {
  /** Hot path: must not allocate. */
  pick(nowMs: number, hint: PickHint<E> | undefined): E;
}

/** @param endpoints at least one */
export type PickerFactory = <E extends BalancedEndpoint>(endpoints: readonly E[], random: Random) => Picker<E>;

/** Tries of a random or rotating rule to get past the endpoint to avoid, before the list is gone through. */
const avoidTries = 3;

/** The endpoint that `next` gives, or another one when that is to be avoided and there is a choice. */
export function passingOver<E>(endpoints: readonly E[], avoid: E | undefined, next: () => E): E {
  let endpoint = next();
  if (avoid === undefined || endpoint !== avoid) return endpoint;
  for (let tries = 0; tries < avoidTries && endpoint === avoid; tries++) endpoint = next();
  return endpoint === avoid ? (endpoints.find(other => other !== avoid) ?? avoid) : endpoint;
}
