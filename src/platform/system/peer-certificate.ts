import type { TLSSocket } from "node:tls";
import type { PeerCertificate, TlsState } from "../network.ts";

/**
 * Splits OpenSSL's list of alternative names. Node quotes a name that contains a comma or a quote as JSON, so that it
 * cannot pass for two names (CVE-2021-44532).
 */
export function splitAltNames(list: string): readonly string[] {
  const names: string[] = [];
  const pattern = /([^:,"]+):(?:"((?:[^"\\]|\\.)*)"|([^,]*))(?:, |$)/gy;
  for (let match = pattern.exec(list); match !== null && match[0] !== ""; match = pattern.exec(list)) {
    const value = match[2] === undefined ? (match[3] ?? "") : (JSON.parse(`"${match[2]}"`) as string);
    names.push(`${match[1]}:${value}`);
  }
  return names;
}

function peerCertificate(socket: TLSSocket): PeerCertificate | undefined {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  return {
    subject: certificate.subject === undefined ? "" : certificate.subject.split("\n").join(","),
    subjectAltNames: splitAltNames(certificate.subjectAltName ?? ""),
    fingerprint256: certificate.fingerprint256.replaceAll(":", "").toLowerCase(),
    raw: certificate.raw,
  };
}

/** What a finished handshake has agreed on. @param isVerified whether the peer's certificate may be trusted */
export function tlsState(socket: TLSSocket, isVerified: boolean, serverName: string | undefined): TlsState {
  return {
    alpn: socket.alpnProtocol === false || socket.alpnProtocol === null ? undefined : socket.alpnProtocol,
    serverName,
    version: socket.getProtocol() ?? "unknown",
    peerCertificate: isVerified ? peerCertificate(socket) : undefined,
  };
}
