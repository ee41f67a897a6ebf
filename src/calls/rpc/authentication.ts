import type { Method } from "../../contract/index.ts";
import type { Observer, Platform } from "../../platform/index.ts";
import type { Call, Interceptor } from "./call.ts";

/** Who makes a call, as an authenticator has found out. */
export interface Principal {
  /** How it was found out: `jwt`, `certificate`, or what a custom authenticator calls itself. */
  readonly kind: string;
  /** The caller's name: unique within its issuer and kind, and never given to another. */
  readonly subject: string;
  /** Who vouches for the name: the issuer of a token. `undefined` where there is only one who could. */
  readonly issuer?: string | undefined;
  /** What the caller has been granted; the contract's `auth.scopes` ask for these. */
  readonly scopes: readonly string[];
  /** All that the credentials say: the claims of a token, the names in a certificate. */
  readonly claims: Readonly<Record<string, unknown>>;
}

/** How callers prove who they are, for challenges and for the OpenAPI document. */
export type SecurityScheme =
  | {
      readonly type: "bearer";
      /** Of the token, shown to people. @default "JWT" where tokens are verified as such */
      readonly format?: string | undefined;
      /** Where the issuer describes itself (OpenID Connect Discovery). */
      readonly discoveryUrl?: string | undefined;
    }
  | { readonly type: "basic" }
  | { readonly type: "apiKey"; readonly header: string }
  | { readonly type: "mutualTLS" };

/** What a server must know of an interceptor that authenticates. */
export interface Authentication {
  /** Which methods need a known caller: `all` that the contract does not open, or only those that it marks. */
  readonly methods: "all" | "marked";
  readonly schemes: readonly SecurityScheme[];
  /** Called before the server takes connections. @throws (rejects) when something that it needs is missing */
  start(host: { readonly platform: Platform; readonly observer: Observer }): Promise<void>;
}

/** An interceptor that lets no call pass to a method that needs a known caller, unless the caller is known. */
export interface AuthenticatingInterceptor extends Interceptor {
  readonly authentication: Authentication;
}

export function isAuthenticating(interceptor: Interceptor): interceptor is AuthenticatingInterceptor {
  return "authentication" in interceptor;
}

/** Writes down who makes a call. Only for interceptors that have made sure. */
export function setPrincipal(call: Call, principal: Principal): void {
  (call as { principal: Principal | undefined }).principal = principal;
}

/** Services of the infrastructure, which answer everybody: probes and tools have no credentials. */
const openServices: ReadonlySet<string> = new Set([
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
]);

/** Whether callers of a method are asked who they are at all. */
export function isForEverybody(method: Method): boolean {
  return openServices.has(method.service);
}

/** Whether a method may be called only by known callers. */
export function needsPrincipal({ auth }: Method, methods: Authentication["methods"]): boolean {
  return auth.required ?? methods === "all";
}

/**
 * A contract that demands known callers is not served where nobody asks who they are.
 * @throws TypeError that names the first such method
 */
export function checkIsAuthenticated(methods: Iterable<Method>, interceptors: readonly Interceptor[]): void {
  if (interceptors.some(isAuthenticating)) return;
  for (const { service, name, auth } of methods) {
    if (auth.required !== true) continue;
    throw new TypeError(
      `createServer: the contract lets only known callers call ${service}.${name} (trunkline.v1.auth), but no interceptor ` +
        'finds out who they are; add authenticate(…) to `interceptors`, or say `authentication: "elsewhere"` if something in front of this server does',
    );
  }
}
