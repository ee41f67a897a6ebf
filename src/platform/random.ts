/** Randomness as the rest of the code sees it; seeded in tests and simulations. */
export interface Random {
  /** A number in [0, 1). */
  next(): number;
  /** An integer in [0, bound). */
  below(bound: number): number;
  /** `count` random bytes; from the system's cryptographic source on the system platform. */
  bytes(count: number): Uint8Array;
}
