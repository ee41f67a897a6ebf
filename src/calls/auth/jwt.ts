import {
  type Observer,
  type Platform,
  silentObserver,
  systemPlatform,
  type TlsClientOptions,
} from "../../platform/index.ts";
import { fetchBytes } from "../channel/index.ts";
import type { Call, Principal, SecurityScheme } from "../rpc/index.ts";
import type { Authenticator, AuthenticatorHost } from "./authenticator.ts";
import { bearerToken } from "./bearer-token.ts";
import { CredentialsError } from "./challenge.ts";
import { checkConfirmation } from "./confirmation.ts";
import { type Jose, loadJose } from "./jose.ts";
import { allowedAlgorithms, type JwtOptions, type KeyOrigin, keyOrigin } from "./jwt-options.ts";
import { type FindKey, type JwtRules, JwtVerifier, keySet, remoteKey, selectFrom } from "./jwt-verifier.ts";
import type { JsonWebKeySet } from "./key-documents.ts";
import { clockToleranceMs, type KeyLimits, keyLimits } from "./limits.ts";
import { type FetchDocument, RemoteKeys } from "./remote-keys.ts";
import { scopesOf } from "./scopes.ts";

export type { JwtOptions } from "./jwt-options.ts";

/**
 * Callers prove who they are with a JWT as bearer token (RFC 6750, RFC 7519, RFC 8725). What a token must have: a
 * signature by a key of the issuer with an algorithm that counts, our audience, `exp` and `sub`; where it is bound to a
 * client certificate (RFC 8705), that certificate. Needs the package `jose`.
 * @throws TypeError naming the option that is missing or not safe
 */
export function jwt(options: JwtOptions): Authenticator {
  return new JwtAuthenticator(options);
}

class JwtAuthenticator implements Authenticator {
  readonly scheme: SecurityScheme;
  readonly #options: JwtOptions;
  readonly #origin: KeyOrigin;
  readonly #rules: JwtRules;
  readonly #keyLimits: KeyLimits;
  #loading: Promise<JwtVerifier> | undefined;

  constructor(options: JwtOptions) {
    const origin = keyOrigin(options);
    this.#options = options;
    this.#origin = origin;
    this.#keyLimits = keyLimits(options.keyLimits);
    const toleranceMs = options.clockToleranceMs ?? clockToleranceMs;
    if (!(toleranceMs >= 0)) throw new TypeError(`authenticate: \`clockToleranceMs\` is ${toleranceMs}`);
    this.#rules = {
      issuer: options.issuer,
      audience: typeof options.audience === "string" ? [options.audience] : [...options.audience],
      algorithms: allowedAlgorithms(options, origin),
      clockToleranceMs: toleranceMs,
      requiredClaims: ["exp", "sub", ...(options.requiredClaims ?? [])],
      type: options.type,
    };
    const isDiscovered = origin.kind === "remote" && origin.source.kind === "discovery";
    this.scheme = {
      type: "bearer",
      format: "JWT",
      ...(isDiscovered ? { discoveryUrl: origin.source.url.href } : {}),
    };
  }

  async start(host: AuthenticatorHost): Promise<void> {
    await this.#load(host);
  }

  async identify(call: Call): Promise<Principal | undefined> {
    const token = bearerToken(call, this.#options.tokenBytesMax);
    if (token === undefined) return undefined;
    const verifier = await this.#load({ platform: systemPlatform, observer: silentObserver });
    const claims = await verifier.verify(token);
    checkConfirmation(claims["cnf"], call.peer.tls?.peerCertificate);
    const { sub } = claims;
    if (typeof sub !== "string" || sub === "") throw new CredentialsError('the token\'s "sub" is no text');
    const principal: Principal = {
      kind: "jwt",
      subject: sub,
      issuer: this.#rules.issuer,
      scopes: (this.#options.scopes ?? scopesOf)(claims),
      claims,
    };
    return this.#options.principal === undefined ? principal : this.#options.principal(principal, call);
  }

  /** What verifies tokens; the first who asks says on which machine. */
  #load(host: AuthenticatorHost): Promise<JwtVerifier> {
    this.#loading ??= this.#open(host).catch((error: unknown) => {
      this.#loading = undefined;
      throw error;
    });
    return this.#loading;
  }

  async #open({ platform, observer }: AuthenticatorHost): Promise<JwtVerifier> {
    const jose = await loadJose();
    const own = this.#options.platform ?? platform;
    return new JwtVerifier(jose, this.#rules, own.clock, this.#findKey(jose, own, observer));
  }

  #findKey(jose: Jose, platform: Platform, observer: Observer): FindKey {
    const origin = this.#origin;
    switch (origin.kind) {
      case "secret":
        return () => origin.secret;
      case "static":
        return keySet(jose, origin.keys, origin.named);
      case "remote": {
        const { fetchDocument = documentReader(platform, observer, this.#options.tls) } = this.#options;
        const compile = (keys: JsonWebKeySet) => selectFrom(jose, keys);
        return remoteKey(
          new RemoteKeys(origin.source, this.#keyLimits, fetchDocument, platform.clock, observer, compile),
        );
      }
    }
  }
}

/** Reads the issuer's documents over connections of our own. */
function documentReader(platform: Platform, observer: Observer, tls: TlsClientOptions | undefined): FetchDocument {
  return (url, limits) => fetchBytes(url, { ...limits, platform, observer, tls, accept: "application/json" });
}
