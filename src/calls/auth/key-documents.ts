import { isLoopbackHost } from "./loopback.ts";

/** A public key as JSON (RFC 7517). */
export type JsonWebKey = Readonly<Record<string, unknown>>;

/** A set of keys as JSON (RFC 7517, section 5). */
export interface JsonWebKeySet {
  readonly keys: readonly JsonWebKey[];
}

const publicKinds: ReadonlySet<unknown> = new Set(["RSA", "EC", "OKP"]);

/**
 * The keys of a set that can verify signatures; others, and those of kinds that we do not know, are left out (RFC 7517,
 * section 5). A secret in a set is never a key: who can read the set could sign.
 * @throws Error that says what is wrong with the set as a whole
 */
export function verificationKeys(document: unknown, keysMax: number): JsonWebKeySet {
  const keys = isObject(document) ? document["keys"] : undefined;
  if (!Array.isArray(keys)) throw new Error('it is no key set: a JSON object with an array "keys"');
  if (keys.length > keysMax) throw new Error(`it has ${keys.length} keys; the limit is ${keysMax}`);
  const usable = keys.filter(
    (key): key is JsonWebKey =>
      isObject(key) &&
      publicKinds.has(key["kty"]) &&
      (key["use"] === undefined || key["use"] === "sig") &&
      // A private key that is published signs for everybody.
      key["d"] === undefined,
  );
  if (usable.length === 0) throw new Error("it has no key that verifies signatures");
  return { keys: usable };
}

/**
 * Where the keys of an issuer are, by its own description (OpenID Connect Discovery 1.0, section 4.3).
 * @throws Error for a description of another issuer, or without an address of keys
 */
export function keysUrlOf(document: unknown, issuer: string): URL {
  if (!isObject(document)) throw new Error("it is no JSON object");
  if (document["issuer"] !== issuer) throw new Error(`it does not describe the issuer ${issuer}`);
  const { jwks_uri: url } = document;
  if (typeof url !== "string") throw new Error('it has no "jwks_uri"');
  return keysUrl(url, '"jwks_uri"');
}

/** @throws TypeError for what is no URL, or one over which anybody could put in keys of their own */
export function keysUrl(text: string, name: string): URL {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined) throw new TypeError(`${name} is ${JSON.stringify(text.slice(0, 200))}, which is no URL`);
  if (url.protocol !== "https:" && !(url.protocol === "http:" && isLoopbackHost(url.hostname))) {
    throw new TypeError(`${name} is ${url.origin}…; it must be https:, or http: on a loopback address`);
  }
  if (url.username !== "" || url.password !== "") throw new TypeError(`${name} must have no user or password in it`);
  return url;
}

/** The address of an issuer's description: its path stays in front (section 4.1). */
export function discoveryUrl(issuer: string): URL {
  return keysUrl(`${issuer.replace(/\/$/, "")}/.well-known/openid-configuration`, "the address of the issuer");
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
