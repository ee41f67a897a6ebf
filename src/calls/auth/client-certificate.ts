import { RpcError } from "../../errors/index.ts";
import type { PeerCertificate } from "../../platform/index.ts";
import type { Call, Principal } from "../rpc/index.ts";
import type { Authenticator } from "./authenticator.ts";
import { CredentialsError } from "./challenge.ts";

/** The names in a certificate that the TLS layer has verified. */
export interface CertificateIdentity {
  /** The SPIFFE ID, where the certificate is an X.509-SVID. */
  readonly spiffeId: string | undefined;
  /** All URI names. */
  readonly uris: readonly string[];
  readonly dnsNames: readonly string[];
  /** For example `CN=orders,O=Example`. */
  readonly subject: string;
  /** SHA-256 of the certificate, lower-case hex. */
  readonly fingerprint256: string;
}

export interface ClientCertificateOptions {
  /**
   * Which certificates count, of those that `tls.clientCa` has signed: a function, or a list of SPIFFE IDs or other URIs,
   * DNS names and fingerprints. A name that ends in `/*` stands for all below it. @default all
   */
  readonly allow?: readonly string[] | ((identity: CertificateIdentity) => boolean) | undefined;
  /** What a certificate grants. @default nothing */
  readonly scopes?: ((identity: CertificateIdentity) => readonly string[]) | undefined;
  /** Makes the principal out of what the certificate says. Throw an RpcError to refuse it. */
  readonly principal?: ((found: Principal, call: Call) => Principal | Promise<Principal>) | undefined;
}

/**
 * Callers prove who they are with the certificate of their TLS connection, which `tls.clientCa` must have signed. The
 * principal's subject is the SPIFFE ID, otherwise the first URI, otherwise the first DNS name, otherwise the certificate's
 * subject.
 *
 * ```ts
 * createServer({ services, tls: { cert, key, clientCa }, interceptors: [authenticate(clientCertificate())] });
 * ```
 */
export function clientCertificate(options: ClientCertificateOptions = {}): Authenticator {
  const isAllowed = allowance(options.allow);
  return {
    scheme: { type: "mutualTLS" },
    identify(call) {
      const certificate = call.peer.tls?.peerCertificate;
      if (certificate === undefined) return undefined;
      const identity = identityOf(certificate);
      if (!isAllowed(identity)) {
        throw new RpcError("permission_denied", "the certificate of the connection is not among those that count here");
      }
      const subject = identity.spiffeId ?? identity.uris[0] ?? identity.dnsNames[0] ?? identity.subject;
      if (subject === "") throw new CredentialsError("the certificate of the connection names nobody");
      const principal: Principal = {
        kind: "certificate",
        subject,
        scopes: options.scopes?.(identity) ?? [],
        claims: { ...identity },
      };
      return options.principal === undefined ? principal : options.principal(principal, call);
    },
  };
}

/** @throws CredentialsError for an X.509-SVID with several URIs: it would name several callers */
function identityOf({ subject, subjectAltNames, fingerprint256 }: PeerCertificate): CertificateIdentity {
  const named = (kind: string): readonly string[] =>
    subjectAltNames.flatMap(name => (name.startsWith(`${kind}:`) ? [name.slice(kind.length + 1)] : []));
  const uris = named("URI");
  const spiffeId = uris.find(uri => /^spiffe:\/\//i.test(uri));
  if (spiffeId !== undefined && uris.length > 1) {
    throw new CredentialsError(
      "the certificate of the connection has a SPIFFE ID and further URIs (X509-SVID, section 2)",
    );
  }
  return { spiffeId, uris, dnsNames: named("DNS"), subject, fingerprint256 };
}

function allowance(allow: ClientCertificateOptions["allow"]): (identity: CertificateIdentity) => boolean {
  if (allow === undefined) return () => true;
  if (typeof allow === "function") return allow;
  const exact = new Set(allow.filter(name => !name.endsWith("/*")));
  const below = allow.filter(name => name.endsWith("/*")).map(name => name.slice(0, -1));
  return ({ uris, dnsNames, fingerprint256 }) =>
    exact.has(fingerprint256) ||
    dnsNames.some(name => exact.has(name)) ||
    uris.some(uri => exact.has(uri) || below.some(prefix => uri.startsWith(prefix) && uri.length > prefix.length));
}
