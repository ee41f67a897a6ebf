import { RpcError } from "../../errors/index.ts";
import type { SecurityScheme } from "../rpc/index.ts";

/** Why credentials were not accepted, in the words of RFC 6750, section 3.1. */
export type BearerError = "invalid_request" | "invalid_token" | "insufficient_scope";

/**
 * Credentials that do not count. `message` goes to the caller, in the answer and in the challenge: it must say nothing
 * that the credentials say.
 */
export class CredentialsError extends RpcError {
  readonly bearerError: BearerError;

  constructor(message: string, options: { readonly bearerError?: BearerError; readonly cause?: unknown } = {}) {
    super("unauthenticated", message, { cause: options.cause });
    this.bearerError = options.bearerError ?? "invalid_token";
  }
}

/** Parameters of a challenge; `undefined` ones are left out. */
type Parameters = Readonly<Record<string, string | undefined>>;

/** RFC 9110, section 11.6.1: a scheme with quoted parameters. */
export function challenge(scheme: string, parameters: Parameters): string {
  const pairs = Object.entries(parameters).flatMap(([name, value]) =>
    value === undefined ? [] : [`${name}="${quotable(value)}"`],
  );
  return pairs.length === 0 ? scheme : `${scheme} ${pairs.join(", ")}`;
}

/** The characters that RFC 6750 allows in `error_description` and `scope`; others become blanks. */
function quotable(text: string): string {
  return text.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, " ");
}

/** The challenges for a call without credentials, or with `error`: one for each way to prove who one is. */
function challenges(schemes: readonly SecurityScheme[], realm: string, error?: Parameters): readonly string[] {
  const seen = new Set<string>();
  for (const scheme of schemes) {
    switch (scheme.type) {
      case "bearer":
        seen.add(challenge("Bearer", { realm, ...error }));
        break;
      case "basic":
        seen.add(challenge("Basic", { realm, charset: "UTF-8" }));
        break;
      case "apiKey":
        seen.add(challenge("ApiKey", { realm, header: scheme.header }));
        break;
      case "mutualTLS":
        // No registered scheme says "show a certificate", but a 401 must have a challenge (RFC 9110, section 15.5.2).
        seen.add(challenge("ClientCertificate", { realm }));
        break;
      default:
        scheme satisfies never;
    }
  }
  return [...seen];
}

/** The call names nobody. Without an error code, as RFC 6750, section 3.1, wants it. */
export function missingCredentials(schemes: readonly SecurityScheme[], realm: string): RpcError {
  return new RpcError("unauthenticated", "the call has no credentials, or none of a kind that counts here", {
    metadata: { "www-authenticate": challenges(schemes, realm) },
  });
}

/** The same error with what the caller should do. */
export function withChallenge(error: RpcError, schemes: readonly SecurityScheme[], realm: string): RpcError {
  if ("www-authenticate" in error.metadata) return error;
  const bearerError = error instanceof CredentialsError ? error.bearerError : "invalid_token";
  const found = challenges(schemes, realm, { error: bearerError, error_description: error.message });
  return new RpcError("unauthenticated", error.message, {
    details: error.details,
    cause: error,
    retryAfterMs: error.retryAfterMs,
    metadata: { ...error.metadata, "www-authenticate": found },
  });
}

/** The caller is known, but has not been granted enough. */
export function insufficientScope(needed: readonly string[], realm: string, isBearer: boolean): RpcError {
  const scope = needed.join(" ");
  const message = `the call needs the scope${needed.length === 1 ? "" : "s"} ${scope}`;
  const parameters = { realm, error: "insufficient_scope", error_description: message, scope };
  return new RpcError("permission_denied", message, {
    metadata: isBearer ? { "www-authenticate": challenge("Bearer", parameters) } : {},
  });
}
