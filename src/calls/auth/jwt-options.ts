import { cryptoModule, type Platform, type TlsClientOptions } from "../../platform/index.ts";
import type { Call, Principal } from "../rpc/index.ts";
import { discoveryUrl, type JsonWebKey, type JsonWebKeySet, keysUrl, verificationKeys } from "./key-documents.ts";
import { type KeyLimits, secretBytesMin } from "./limits.ts";
import type { FetchDocument, KeySource } from "./remote-keys.ts";

/** How JWTs are verified. Keys come from one of `jwks`, `publicKey`, `secret`; otherwise where the issuer says. */
export interface JwtOptions {
  /** What `iss` must be, to the letter. Its keys are found at `<issuer>/.well-known/openid-configuration`. */
  readonly issuer: string;
  /** Who we are: `aud` must name one of these. Without it a token for any other service would do. */
  readonly audience: string | readonly string[];
  /** The address of the issuer's key set (https, or loopback), or the set itself. @default what the issuer describes */
  readonly jwks?: string | JsonWebKeySet | undefined;
  /** Public keys in PEM (SPKI, or a certificate). */
  readonly publicKey?: string | readonly string[] | undefined;
  /** A secret of 32 bytes or more that issuer and server share; only then do tokens with HMAC count, and no others. */
  readonly secret?: string | Uint8Array | undefined;
  /**
   * Algorithms of signatures that count. @default RS, PS and ES with 256, 384 and 512, EdDSA; with `secret`, HS with what
   * its length allows
   */
  readonly algorithms?: readonly string[] | undefined;
  /** How far clocks may differ for `exp` and `nbf`, in milliseconds. @default 5_000 */
  readonly clockToleranceMs?: number | undefined;
  /** Claims that must be there. `exp`, `iss`, `aud` and `sub` must be always. */
  readonly requiredClaims?: readonly string[] | undefined;
  /** What the header's `typ` must be, for example `at+jwt` (RFC 9068), so that no ID token passes. @default any */
  readonly type?: string | undefined;
  /** What a token grants. @default the words of `scope` and of `scp`, texts or lists */
  readonly scopes?: ((claims: Readonly<Record<string, unknown>>) => readonly string[]) | undefined;
  /** Makes the principal out of what the token says. Throw an RpcError to refuse it. */
  readonly principal?: ((found: Principal, call: Call) => Principal | Promise<Principal>) | undefined;
  /** The longest token that is looked at, in bytes. @default 8_192 */
  readonly tokenBytesMax?: number | undefined;
  /** How the issuer's keys are fetched and kept. */
  readonly keyLimits?: Partial<KeyLimits> | undefined;
  /** For the connection to the issuer, such as roots of its own. */
  readonly tls?: TlsClientOptions | undefined;
  /** Fetches the issuer's documents, for example through a proxy. @default a connection of our own, without redirects */
  readonly fetchDocument?: FetchDocument | undefined;
  /** @default that of the server */
  readonly platform?: Platform | undefined;
}

/** Where keys come from, once the options have been judged. */
export type KeyOrigin =
  | { readonly kind: "remote"; readonly source: KeySource }
  /** `named`: whether a token's `kid` must be that of the key. */
  | { readonly kind: "static"; readonly keys: JsonWebKeySet; readonly named: boolean }
  | { readonly kind: "secret"; readonly secret: Uint8Array };

const asymmetric = ["RS", "PS", "ES"].flatMap(family => [256, 384, 512].map(bits => family + bits));
const allAsymmetric: readonly string[] = [...asymmetric, "EdDSA", "Ed25519"];
const symmetric: Readonly<Record<string, number>> = { HS256: 32, HS384: 48, HS512: 64 };

/** @throws TypeError naming the option that is missing or not safe */
export function keyOrigin(options: JwtOptions): KeyOrigin {
  const { issuer, audience, jwks, publicKey, secret } = options;
  if (typeof issuer !== "string" || issuer === "") {
    throw new TypeError("authenticate: `issuer` is missing: the text that tokens have as `iss`");
  }
  const audiences = typeof audience === "string" ? [audience] : audience;
  if (!Array.isArray(audiences) || audiences.length === 0 || audiences.some(one => typeof one !== "string" || !one)) {
    throw new TypeError(
      "authenticate: `audience` is missing: the name of this service in `aud`; without it tokens for any other service would count",
    );
  }
  const given = Object.entries({ jwks, publicKey, secret }).flatMap(([name, value]) =>
    value === undefined ? [] : name,
  );
  if (given.length > 1) throw new TypeError(`authenticate: give one of ${given.join(", ")}, not several`);
  if (secret !== undefined) return { kind: "secret", secret: secretBytes(secret) };
  if (publicKey !== undefined) {
    const keys = (typeof publicKey === "string" ? [publicKey] : publicKey).map(publicKeyOf);
    return { kind: "static", keys: verificationKeys({ keys }, keys.length), named: false };
  }
  if (typeof jwks === "string") return { kind: "remote", source: { kind: "keys", url: keysUrl(jwks, "`jwks`") } };
  if (jwks === undefined) return { kind: "remote", source: { kind: "discovery", url: discoveryUrl(issuer), issuer } };
  try {
    return { kind: "static", keys: verificationKeys(jwks, Number.POSITIVE_INFINITY), named: true };
  } catch (cause) {
    throw new TypeError(`authenticate: \`jwks\` cannot be used: ${(cause as Error).message}`, { cause });
  }
}

/** The algorithms that count. @throws TypeError for those that would let anybody, or anybody with a public key, sign */
export function allowedAlgorithms(options: JwtOptions, origin: KeyOrigin): string[] {
  const secretBytes = origin.kind === "secret" ? origin.secret.length : undefined;
  const possible =
    secretBytes === undefined
      ? allAsymmetric
      : Object.keys(symmetric).filter(name => (symmetric[name] as number) <= secretBytes);
  if (options.algorithms === undefined) return [...possible];
  if (options.algorithms.length === 0) throw new TypeError("authenticate: `algorithms` is empty");
  for (const name of options.algorithms) {
    if (possible.includes(name)) continue;
    const reason =
      name.toLowerCase() === "none"
        ? "tokens without a signature never count"
        : name in symmetric && secretBytes === undefined
          ? "it needs a `secret`; with public keys, everybody who can read them could sign"
          : `possible are ${possible.join(", ")}`;
    throw new TypeError(`authenticate: \`algorithms\` has ${JSON.stringify(name)}: ${reason}`);
  }
  return [...options.algorithms];
}

function secretBytes(secret: string | Uint8Array): Uint8Array {
  const bytes = typeof secret === "string" ? new TextEncoder().encode(secret) : secret;
  if (bytes.length >= secretBytesMin) return bytes;
  throw new TypeError(`authenticate: \`secret\` has ${bytes.length} bytes; it must have ${secretBytesMin} or more`);
}

function publicKeyOf(pem: string): JsonWebKey {
  try {
    if (/PRIVATE KEY/.test(pem)) throw new Error("it is a private key, which the issuer keeps to itself");
    return cryptoModule().createPublicKey(pem).export({ format: "jwk" }) as JsonWebKey;
  } catch (cause) {
    throw new TypeError(`authenticate: \`publicKey\` is no public key in PEM: ${(cause as Error).message}`, { cause });
  }
}
