/** An endpoint is left out for a while because its calls fail. */
export interface EndpointEjected {
  readonly type: "balancing.endpoint.ejected";
  readonly target: string;
  readonly endpoint: string;
  /** Milliseconds. */
  readonly forMs: number;
}

/** So few endpoints are usable that all of them are used; or that is over. */
export interface PanicChanged {
  readonly type: "balancing.panic";
  readonly target: string;
  readonly isPanicking: boolean;
  readonly usable: number;
  readonly endpoints: number;
}

/** Endpoints of another priority take the calls: those of the better ones fail, or one of them works again. */
export interface PriorityChanged {
  readonly type: "balancing.priority";
  readonly target: string;
  readonly from: number;
  readonly to: number;
}
