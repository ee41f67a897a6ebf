import type { PeerCertificate } from "../../platform/index.ts";
import { CredentialsError } from "./challenge.ts";

/**
 * Holds a token to the key that it is bound to (RFC 7800, `cnf`): the caller's certificate (RFC 8705, section 3.1).
 * Bound in a way that cannot be checked here, it is no bearer token at all.
 * @throws CredentialsError
 */
export function checkConfirmation(cnf: unknown, certificate: PeerCertificate | undefined): void {
  if (cnf === undefined) return;
  const methods = typeof cnf === "object" && cnf !== null ? Object.entries(cnf) : [];
  const [method, expected] = methods[0] ?? [];
  if (methods.length !== 1 || method !== "x5t#S256") {
    throw new CredentialsError("the token is bound to a key in a way that is not supported here");
  }
  const actual = certificate && Buffer.from(certificate.fingerprint256, "hex").toString("base64url");
  if (actual === undefined || actual !== expected) {
    throw new CredentialsError("the token is bound to another certificate than that of the connection");
  }
}
