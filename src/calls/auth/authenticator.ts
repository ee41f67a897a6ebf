import type { Observer, Platform } from "../../platform/index.ts";
import type { Call, Principal, SecurityScheme } from "../rpc/index.ts";

/**
 * Finds out who makes a call. `undefined`: the call has no credentials of this kind.
 * @throws RpcError `unauthenticated` for credentials that do not count; any other code goes to the caller as it is
 */
export type Identify = (call: Call) => Principal | undefined | Promise<Principal | undefined>;

/** One way to find out who makes a call; made by `jwt`, `clientCertificate`, or by hand. */
export interface Authenticator {
  /** How callers prove it: challenges and the OpenAPI document say so. */
  readonly scheme: SecurityScheme;
  readonly identify: Identify;
  /** Called before the server takes connections. @throws (rejects) when something that it needs is missing */
  start?(host: AuthenticatorHost): Promise<void>;
}

/** What an authenticator may use of the server. */
export interface AuthenticatorHost {
  readonly platform: Platform;
  readonly observer: Observer;
}

/** Credentials were refused. Holds nothing of what they say. */
export interface CredentialsRefused {
  readonly type: "auth.refused";
  readonly method: string;
  readonly remoteAddress: string;
  /** What the caller was told. */
  readonly reason: string;
  /** The verifier's own error, which may quote the credentials: not for logs that many can read. */
  readonly error: unknown;
}
