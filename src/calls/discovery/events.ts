import type { ObservedEvent } from "../../platform/index.ts";

/** The endpoints of a target have changed. */
export interface EndpointsChanged extends ObservedEvent {
  readonly type: "discovery.endpoints.changed";
  readonly target: string;
  readonly endpoints: number;
  readonly isStale: boolean;
}

/** A resolution failed; what was known before goes on being used. */
export interface ResolutionFailed extends ObservedEvent {
  readonly type: "discovery.resolution.failed";
  readonly target: string;
  readonly error: Error;
}

/** A source gave more endpoints than a target may have. */
export interface EndpointsLeftOut extends ObservedEvent {
  readonly type: "discovery.endpoints.left_out";
  readonly target: string;
  readonly count: number;
}
