/** Limits and defaults of authentication, each with its unit and reason. */

/** The longest token that is looked at: half of the limit for all header fields. Real ones have 0.5 to 3 KiB. */
export const tokenBytesMax = 8_192;

/** How far the issuer's clock may be off, in milliseconds; machines with NTP are within a second. */
export const clockToleranceMs = 5_000;

/** A secret must be as long as the hash that it keys (RFC 7518, section 3.2). */
export const secretBytesMin = 32;

/** Keys of one set that may fit a token without `kid`; each costs a verification. */
export const candidateKeysMax = 8;

/** How the keys of an issuer are fetched and kept. */
export interface KeyLimits {
  /**
   * Keys are used this long before they are asked for again, in milliseconds; they are asked for a fifth earlier, beside
   * the calls. A key that the issuer withdraws counts up to this long. @default 600_000
   */
  readonly maxAgeMs: number;
  /** While the issuer cannot be reached, the keys it gave last count up to this age, in milliseconds. @default 3_600_000 */
  readonly staleMaxMs: number;
  /**
   * A token with an unknown key makes the keys be fetched, but not within this time of the last fetch, so that made-up
   * tokens cannot make us flood the issuer. In milliseconds. @default 30_000
   */
  readonly cooldownMs: number;
  /** The pause after a fetch that failed, in milliseconds. @default 2_000 */
  readonly retryMs: number;
  /** For each of the documents, from connecting to its last byte, in milliseconds. @default 5_000 */
  readonly timeoutMs: number;
  /** Of each of the documents. @default 262_144: some issuers put certificate chains into their keys */
  readonly bytesMax: number;
  /** Keys in a set. @default 128 */
  readonly keysMax: number;
}

const defaults: KeyLimits = {
  maxAgeMs: 600_000,
  staleMaxMs: 3_600_000,
  cooldownMs: 30_000,
  retryMs: 2_000,
  timeoutMs: 5_000,
  bytesMax: 262_144,
  keysMax: 128,
};

/** The limits with the defaults for what is not given. @throws TypeError for one that is no positive number */
export function keyLimits(given: Partial<KeyLimits> = {}): KeyLimits {
  const limits = { ...defaults, ...given };
  for (const [name, value] of Object.entries(limits)) {
    if (!(value > 0)) throw new TypeError(`authenticate: keyLimits.${name} is ${value}; it must be more than 0`);
  }
  if (limits.staleMaxMs < limits.maxAgeMs) {
    throw new TypeError("authenticate: keyLimits.staleMaxMs must not be less than keyLimits.maxAgeMs");
  }
  return limits;
}
