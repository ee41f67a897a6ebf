import { isRpcError, type RpcError } from "../../errors/index.ts";
import { type Observer, silentObserver } from "../../platform/index.ts";
import {
  type AuthenticatingInterceptor,
  type Authentication,
  type Call,
  isForEverybody,
  type Next,
  needsPrincipal,
  type Principal,
  setPrincipal,
} from "../rpc/index.ts";
import type { Authenticator, CredentialsRefused, Identify } from "./authenticator.ts";
import { insufficientScope, missingCredentials, withChallenge } from "./challenge.ts";
import { type JwtOptions, jwt } from "./jwt.ts";

export interface AuthenticateOptions {
  /**
   * Which methods need a known caller. `all`: every one but those that the contract opens
   * (`option (trunkline.v1.auth) = { required: false }`). `marked`: those that it marks with `required: true` or scopes.
   * Health checks and reflection answer everybody. @default "all"
   */
  readonly methods?: "all" | "marked" | undefined;
  /** What challenges name as protected. @default the full name of the service */
  readonly realm?: string | undefined;
}

/** What finds out who calls: options of {@link jwt}, an authenticator, a function. */
export type AuthenticationSource = JwtOptions | Authenticator | Identify;

/**
 * Finds out who makes each call, sets `call.principal`, and holds callers to what the contract's `trunkline.v1.auth` asks
 * for. Of several authenticators the first that finds credentials of its kind decides; one whose credentials do not count
 * is refused, whatever else it could show. Several for bearer tokens are for several issuers.
 *
 * Where the contract leaves a method open, callers may still say who they are; wrong credentials are refused there too.
 *
 * ```ts
 * createServer({ services, interceptors: [authenticate({ issuer: "https://login.example.com", audience: "orders" })] });
 * authenticate([jwt({ issuer, audience }), clientCertificate()]);
 * ```
 * @throws TypeError for options that are not safe, saying which
 */
export function authenticate(
  source: AuthenticationSource | readonly AuthenticationSource[],
  options: AuthenticateOptions = {},
): AuthenticatingInterceptor {
  const sources = Array.isArray(source)
    ? (source as readonly AuthenticationSource[])
    : [source as AuthenticationSource];
  if (sources.length === 0) throw new TypeError("authenticate: the list of authenticators is empty");
  const gate = new Gate(sources.map(authenticatorOf), options);
  return Object.assign((call: Call, next: Next) => gate.intercept(call, next), { authentication: gate });
}

function authenticatorOf(source: AuthenticationSource): Authenticator {
  // What a function reads is most often an opaque token.
  if (typeof source === "function") return { scheme: { type: "bearer" }, identify: source };
  return "identify" in source ? source : jwt(source);
}

class Gate implements Authentication {
  readonly methods: "all" | "marked";
  readonly schemes;
  readonly #authenticators: readonly Authenticator[];
  readonly #realm: string | undefined;
  #observer: Observer = silentObserver;

  constructor(authenticators: readonly Authenticator[], options: AuthenticateOptions) {
    this.methods = options.methods ?? "all";
    this.schemes = authenticators.map(({ scheme }) => scheme);
    this.#authenticators = authenticators;
    this.#realm = options.realm;
  }

  async start(host: Parameters<Authentication["start"]>[0]): Promise<void> {
    this.#observer = host.observer;
    await Promise.all(this.#authenticators.map(authenticator => authenticator.start?.(host)));
  }

  async intercept(call: Call, next: Next): Promise<unknown> {
    if (call.side !== "server") throw new TypeError("authenticate is for servers; clients use bearer(…)");
    const { method } = call;
    if (isForEverybody(method)) return next();
    const realm = this.#realm ?? method.service;
    let found: Found | undefined;
    try {
      found = await this.#find(call);
    } catch (error) {
      throw this.#refused(call, error, realm);
    }
    if (found !== undefined) {
      const { principal, authenticator } = found;
      if (!method.auth.scopes.every(scope => principal.scopes.includes(scope))) {
        throw insufficientScope(method.auth.scopes, realm, authenticator.scheme.type === "bearer");
      }
      setPrincipal(call, principal);
    } else if (needsPrincipal(method, this.methods)) {
      throw missingCredentials(this.schemes, realm);
    }
    return next();
  }

  async #find(call: Call): Promise<Found | undefined> {
    let refused: { readonly error: RpcError; readonly kind: string } | undefined;
    for (const authenticator of this.#authenticators) {
      const kind = authenticator.scheme.type;
      // Credentials that were refused are not made good by others: a user's expired token must not pass as the machine.
      if (refused !== undefined && refused.kind !== kind) continue;
      try {
        const principal = await authenticator.identify(call);
        if (principal !== undefined) return { principal, authenticator };
      } catch (error) {
        if (!isRpcError(error, "unauthenticated")) throw error;
        refused ??= { error, kind };
      }
    }
    if (refused !== undefined) throw refused.error;
    return undefined;
  }

  /** What the caller is told. An authenticator that fails for reasons of its own lets nobody pass. */
  #refused(call: Call, error: unknown, realm: string): unknown {
    if (!isRpcError(error)) return error;
    const { method, peer } = call;
    const event: CredentialsRefused = {
      type: "auth.refused",
      method: method.path,
      remoteAddress: peer.address,
      reason: error.message,
      error,
    };
    this.#observer.emit(event);
    return error.code === "unauthenticated" ? withChallenge(error, this.schemes, realm) : error;
  }
}

interface Found {
  readonly principal: Principal;
  readonly authenticator: Authenticator;
}
