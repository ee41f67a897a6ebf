import { isRpcError } from "../../errors/index.ts";
import type { Clock } from "../../platform/index.ts";
import { CredentialsError } from "./challenge.ts";
import type { Jose } from "./jose.ts";
import type { JsonWebKeySet } from "./key-documents.ts";
import { candidateKeysMax } from "./limits.ts";
import type { RemoteKeys } from "./remote-keys.ts";

/** What a token must be like. */
export interface JwtRules {
  readonly issuer: string;
  readonly audience: string[];
  readonly algorithms: string[];
  readonly clockToleranceMs: number;
  readonly requiredClaims: string[];
  readonly type: string | undefined;
}

/** Finds the key of a token by its header, in a set that is at hand. */
export type SelectKey = ReturnType<Jose["createLocalJWKSet"]>;
type Header = NonNullable<Parameters<SelectKey>[0]>;
type Key = Awaited<ReturnType<SelectKey>> | Uint8Array;

/** Finds the key that a token claims to be signed with; may have to wait for keys. */
export type FindKey = (header: Header) => Key | Promise<Key>;

/** The keys of a set that is known from the start. @param isNamed whether a token's `kid` must be that of the key */
export function keySet(jose: Jose, keys: JsonWebKeySet, isNamed: boolean): FindKey {
  const select = selectFrom(jose, keys);
  return isNamed ? select : ({ kid: _, ...header }) => select(header);
}

/** The keys of an issuer, asked for again when a token names one that is not among them. */
export function remoteKey(keys: RemoteKeys<SelectKey>): FindKey {
  return async header => {
    const snapshot = await keys.current();
    try {
      return await snapshot.select(header);
    } catch (error) {
      if (codeOf(error) !== "ERR_JWKS_NO_MATCHING_KEY") throw error;
      const newer = await keys.newerThan(snapshot);
      if (newer === snapshot) throw error;
      return newer.select(header);
    }
  };
}

export function selectFrom(jose: Jose, keys: JsonWebKeySet): SelectKey {
  return jose.createLocalJWKSet(keys as Parameters<Jose["createLocalJWKSet"]>[0]);
}

/** Verifies tokens against the rules of one issuer, by the package `jose`. */
export class JwtVerifier {
  readonly #jose: Jose;
  readonly #rules: JwtRules;
  readonly #clock: Clock;
  readonly #findKey: FindKey;

  constructor(jose: Jose, rules: JwtRules, clock: Clock, findKey: FindKey) {
    this.#jose = jose;
    this.#rules = rules;
    this.#clock = clock;
    this.#findKey = findKey;
  }

  /**
   * The claims of a token that counts.
   * @throws (rejects) CredentialsError that says why it does not count and quotes nothing of it; RpcError `unavailable`
   * when the keys cannot be had
   */
  async verify(token: string): Promise<Readonly<Record<string, unknown>>> {
    try {
      // Before any key is looked for: a token of another issuer must not make us ask ours for keys that it cannot have.
      if (this.#jose.decodeJwt(token).iss !== this.#rules.issuer) throw new CredentialsError(wrongClaim("iss"));
      return await this.#verified(token);
    } catch (error) {
      if (isRpcError(error)) throw error;
      throw new CredentialsError(reasonOf(error), { cause: error });
    }
  }

  async #verified(token: string): Promise<Readonly<Record<string, unknown>>> {
    const { issuer, audience, algorithms, clockToleranceMs, requiredClaims, type } = this.#rules;
    const options = {
      issuer,
      audience,
      algorithms,
      requiredClaims,
      clockTolerance: clockToleranceMs / 1000,
      currentDate: new Date(this.#clock.wall()),
      ...(type === undefined ? {} : { typ: type }),
    };
    try {
      const { payload } = await this.#jose.jwtVerify(token, async (header: Header) => this.#findKey(header), options);
      return payload;
    } catch (error) {
      if (codeOf(error) !== "ERR_JWKS_MULTIPLE_MATCHING_KEYS") throw error;
      // No `kid`, and several keys of the right kind: one of them must fit.
      let last: unknown = error;
      let tries = 0;
      for await (const key of error as AsyncIterable<Awaited<ReturnType<SelectKey>>>) {
        if (tries++ === candidateKeysMax) break;
        try {
          const { payload } = await this.#jose.jwtVerify(token, key, options);
          return payload;
        } catch (failure) {
          if (codeOf(failure) !== "ERR_JWS_SIGNATURE_VERIFICATION_FAILED") throw failure;
          last = failure;
        }
      }
      throw last;
    }
  }
}

function codeOf(error: unknown): unknown {
  return typeof error === "object" && error !== null && "code" in error ? error.code : undefined;
}

function wrongClaim(name: string): string {
  return `the token's "${name}" is not what is expected here`;
}

/** Why a token does not count, without a word of its own. */
function reasonOf(error: unknown): string {
  switch (codeOf(error)) {
    case "ERR_JWT_EXPIRED":
      return "the token has expired";
    case "ERR_JWT_CLAIM_VALIDATION_FAILED": {
      // The name is one of those that the rules ask for, never one that only the token has.
      const { claim, reason } = error as { readonly claim?: unknown; readonly reason?: unknown };
      const name = String(claim);
      if (reason === "missing") return `the token has no "${name}"`;
      if (reason === "invalid") return `the token's "${name}" is not well-formed`;
      return name === "nbf" ? "the token is not valid yet" : wrongClaim(name);
    }
    case "ERR_JOSE_ALG_NOT_ALLOWED":
      return "the token is signed with an algorithm that does not count here";
    case "ERR_JWS_SIGNATURE_VERIFICATION_FAILED":
      return "the token's signature does not fit";
    case "ERR_JWKS_NO_MATCHING_KEY":
    case "ERR_JWKS_MULTIPLE_MATCHING_KEYS":
      return "the token is signed with a key that its issuer does not have";
    case "ERR_JWS_INVALID":
    case "ERR_JWT_INVALID":
      return "the token is no well-formed JWT";
    default:
      return "the token cannot be verified";
  }
}
