import type { Call } from "../rpc/index.ts";
import { CredentialsError } from "./challenge.ts";
import { tokenBytesMax } from "./limits.ts";

/** RFC 6750, section 2.1: `b64token`. */
const token68 = /^[A-Za-z0-9\-._~+/]+=*$/;

export function isBearerToken(text: string): boolean {
  return token68.test(text);
}

/**
 * The bearer token of a call (RFC 6750, section 2.1), for authenticators of one's own: only from the `authorization`
 * field, which must be there once, never from query or body.
 * @param bytesMax default 8,192
 * @returns `undefined` where the call has no credentials, or has them in another scheme
 * @throws RpcError `unauthenticated` for a field that is there twice, too long or not well-formed
 */
export function bearerToken(call: Call, bytesMax = tokenBytesMax): string | undefined {
  const [field, ...more] = call.metadata.getAll("authorization");
  if (field === undefined) return undefined;
  if (more.length > 0) {
    throw new CredentialsError("the call has more than one authorization field", { bearerError: "invalid_request" });
  }
  // Metadata gives bytes only for names that end in -bin.
  const text = String(field);
  const scheme = /^bearer(?: +|$)/i.exec(text);
  if (scheme === null) return undefined;
  const token = text.slice(scheme[0].length);
  if (token.length > bytesMax) {
    throw new CredentialsError(`the token is longer than the limit of ${bytesMax} bytes`);
  }
  if (!isBearerToken(token)) throw new CredentialsError("the authorization field has no well-formed bearer token");
  return token;
}
