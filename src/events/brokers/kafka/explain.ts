import { hostAndPort } from "../../../platform/index.ts";
import { SaslFailure } from "./oauth.ts";
import type { Address } from "./wire.ts";

/** Why there is no answer from a broker, for people. */
export interface Explanation {
  readonly text: string;
  readonly isFinal: boolean;
}

interface ErrorLike {
  readonly message?: unknown;
  readonly code?: unknown;
  readonly apiId?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
}

/**
 * Finds in the nested errors of the client library what has happened and what can be done. Its messages are read only
 * where it gives no code.
 */
export function explain(
  at: Address,
  error: unknown,
  uses: { readonly tls: boolean; readonly sasl: boolean },
): Explanation {
  const where = hostAndPort(at.host, at.port);
  const all = chain(error);
  const has = (...codes: readonly string[]) =>
    all.find(({ code, apiId }) => codes.includes(String(code)) || codes.includes(String(apiId)));
  const says = (pattern: RegExp) => all.find(({ message }) => pattern.test(String(message)));
  const final = (text: string) => ({ text: `${where}: ${text}`, isFinal: true });
  const passing = (text: string) => ({ text: `${where}: ${text}`, isFinal: false });

  const ours = all.find(one => one instanceof SaslFailure) as SaslFailure | undefined;
  if (ours !== undefined) return { text: `${where}: ${ours.message}`, isFinal: ours.isFinal };
  if (has("ECONNREFUSED")) return passing("connection refused; is Kafka running there, and is that its port?");
  if (has("ENOTFOUND", "EAI_AGAIN")) return passing("the host name cannot be resolved");
  if (has("SASL_AUTHENTICATION_FAILED", "ILLEGAL_SASL_STATE", "PLT_KFK_AUTHENTICATION")) {
    return final("authentication failed; check user and password and the mechanism in the URL (sasl=…)");
  }
  if (has("UNSUPPORTED_SASL_MECHANISM")) {
    return final("the broker does not know the SASL mechanism; choose another one in the URL (sasl=…)");
  }
  if (says(/requires TLS/)) return final("the broker wants TLS; add tls=true to the URL");
  if (says(/verify the broker supports TLS/) || has("ERR_SSL_WRONG_VERSION_NUMBER")) {
    return final(
      "the broker does not speak TLS there; remove tls=true from the URL, or use the port of its TLS listener",
    );
  }
  const certificate = all.find(({ code }) => /CERT|SELF_SIGNED|UNABLE_TO_VERIFY|ALTNAME/.test(String(code)));
  if (certificate !== undefined) {
    return final(
      `the certificate of the broker is not trusted (${String(certificate.code)}); name its root with ca=/path/to/ca.pem in the URL`,
    );
  }
  if (says(/Connection closed|timed out/) && uses.tls) {
    return passing(
      "the broker closed the connection; if it does not speak TLS on that port, remove tls=true from the URL",
    );
  }
  if (says(/Connection closed/) && !uses.sasl) {
    return passing("the broker closed the connection; if it demands a user, add user, password and sasl=… to the URL");
  }
  const last = all.findLast(({ message }) => typeof message === "string" && message !== "");
  return passing(String(last?.message ?? error));
}

/** An error, its causes and those that it is made of, outermost first. */
function chain(error: unknown): readonly ErrorLike[] {
  const found: ErrorLike[] = [];
  const queue: unknown[] = [error];
  for (let one = queue.shift(); one !== undefined && found.length < 50; one = queue.shift()) {
    if (typeof one !== "object" || one === null) continue;
    const { cause, errors } = one as ErrorLike;
    found.push(one as ErrorLike);
    if (cause !== undefined) queue.push(cause);
    if (Array.isArray(errors)) queue.push(...(errors as unknown[]));
  }
  return found;
}
