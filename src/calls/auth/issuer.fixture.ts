import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import type { Platform } from "../../platform/index.ts";
import { constantField, listen, type ServerExchange } from "../../wire/index.ts";
import { discardBody } from "../rpc/index.ts";

export interface SigningKey {
  readonly kid: string | undefined;
  readonly alg: string;
  readonly privateKey: CryptoKey;
  readonly jwk: JWK;
}

export async function signingKey(kid: string | undefined, alg = "ES256"): Promise<SigningKey> {
  const { privateKey, publicKey } = await generateKeyPair(alg, { extractable: true });
  const jwk = { ...(await exportJWK(publicKey)), alg, use: "sig", ...(kid === undefined ? {} : { kid }) };
  return { kid, alg, privateKey, jwk };
}

/** An issuer of tokens that serves its description and keys on a platform's network. */
export class Issuer {
  readonly port: number;
  readonly platform: Platform;
  keys: readonly SigningKey[];
  /** Paths that were asked for. */
  readonly requests: string[] = [];
  /** What answers instead, to be slow, wrong or huge. */
  answer: ((exchange: ServerExchange) => void) | undefined;

  readonly close: () => Promise<void>;

  private constructor(platform: Platform, port: number, keys: readonly SigningKey[], close: () => Promise<void>) {
    this.close = close;
    this.platform = platform;
    this.port = port;
    this.keys = keys;
  }

  static async start(platform: Platform, port: number, ...keys: readonly SigningKey[]): Promise<Issuer> {
    let issuer: Issuer | undefined;
    const handler = (exchange: ServerExchange): void => (issuer as Issuer).#serve(exchange);
    const listener = await listen({ handler, host: "127.0.0.1", port, platform });
    issuer = new Issuer(platform, listener.port, keys, () => listener.close());
    return issuer;
  }

  get url(): string {
    return `http://127.0.0.1:${this.port}`;
  }

  get keysUrl(): string {
    return `${this.url}/keys`;
  }

  /** A token that counts, but for what is given. `undefined` leaves a claim out. */
  async token(
    claims: Readonly<Record<string, unknown>> = {},
    key = this.keys[0] as SigningKey,
    header: object = {},
  ): Promise<string> {
    const now = Math.floor(this.platform.clock.wall() / 1000);
    const all = { iss: this.url, aud: "text", sub: "ada", iat: now, exp: now + 300, ...claims };
    const present = Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
    const kid = key.kid === undefined ? {} : { kid: key.kid };
    return new SignJWT(present).setProtectedHeader({ alg: key.alg, ...kid, ...header }).sign(key.privateKey);
  }

  #serve(exchange: ServerExchange): void {
    this.requests.push(exchange.path.value);
    discardBody(exchange);
    if (this.answer !== undefined) this.answer(exchange);
    else if (exchange.path.value === "/keys") this.#respond(exchange, { keys: this.keys.map(({ jwk }) => jwk) });
    else this.#respond(exchange, { issuer: this.url, jwks_uri: this.keysUrl });
  }

  #respond(exchange: ServerExchange, document: object): void {
    exchange.respond(200, [constantField("content-type", "application/json")], JSON.stringify(document));
  }
}
