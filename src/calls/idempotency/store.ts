/** One run of one request. The same object goes to every operation of a store that concerns it. */
export interface IdempotencyTicket {
  /** Method and principal: equal keys of two scopes have nothing to do with each other. */
  readonly scope: string;
  /** 1 to 255 visible ASCII characters. */
  readonly key: string;
  /** Equal for equal requests; 32 bytes. */
  readonly fingerprint: Uint8Array;
  /** Unique to this run. What is done by who does not hold the key (any more) has no effect. */
  readonly holder: string;
  /** How long the key stays taken when nothing more is heard of its holder. */
  readonly leaseMs: number;
  /** How long the key is remembered once its holder has settled. */
  readonly ttlMs: number;
}

/** What a store says to a request with a key. */
export type IdempotencyClaim =
  /**
   * The key is the caller's: it must run the request and then `complete` or `abandon` it. `operation` is the `holder` of the
   * first run with this key: it stays when a run was abandoned, or its holder was lost, and the request is run again.
   */
  | { readonly kind: "new"; readonly operation: string }
  /** Another run holds the key. */
  | { readonly kind: "running" }
  | { readonly kind: "stored"; readonly answer: Uint8Array }
  /** The key belongs to a request with another fingerprint. */
  | { readonly kind: "mismatch" };

/**
 * Remembers keys and answers. An operation that throws has not happened or may have happened: callers treat the key as taken
 * either way. Every operation is atomic, also between processes where the store is shared.
 */
export interface IdempotencyStore {
  /**
   * Claims a key. A key is free when it is unknown or its time is over; it is free for a request of the same fingerprint when
   * it was abandoned, or when the lease of its holder has ended.
   */
  begin(ticket: IdempotencyTicket): IdempotencyClaim | Promise<IdempotencyClaim>;
  /** Holds the key for another `leaseMs` from now. `false`: the ticket does not hold it. */
  renew(ticket: IdempotencyTicket): boolean | Promise<boolean>;
  /** Keeps the answer for `ttlMs` from now. `false`: the ticket does not hold the key, and nothing was kept. */
  complete(ticket: IdempotencyTicket, answer: Uint8Array): boolean | Promise<boolean>;
  /** Lets the key go without an answer. `false`: the ticket does not hold it. */
  abandon(ticket: IdempotencyTicket): boolean | Promise<boolean>;
}
