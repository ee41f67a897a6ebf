import { generateKeyPairSync, sign } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { systemPlatform } from "../../src/platform/index.ts";
import type { KafkaOptions } from "../servers/index.ts";

const issuer = "https://login.example.com";
const audience = "kafka";

/** Signs tokens, and tells a Kafka how to judge them: its own validator of JWTs, with our keys from a file. */
export class TokenIssuer {
  readonly kafka: Required<KafkaOptions>;
  readonly #key;

  /** @param sessionMs longest session of a connection, however long its token lasts */
  constructor(folder: string, sessionMs: number) {
    const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
    this.#key = privateKey;
    const file = join(folder, "jwks.json");
    const key = { ...publicKey.export({ format: "jwk" }), kid: "tests", alg: "RS256", use: "sig" };
    writeFileSync(file, JSON.stringify({ keys: [key] }));
    const jwks = pathToFileURL(file).href;
    const listener = "listener.name.sasl_ssl.oauthbearer";
    this.kafka = {
      jvm: [`-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls=${jwks}`],
      config: {
        "sasl.enabled.mechanisms": "SCRAM-SHA-256,OAUTHBEARER",
        [`${listener}.sasl.jaas.config`]:
          "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginModule required;",
        [`${listener}.sasl.server.callback.handler.class`]:
          "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler",
        // The default one does not look at signatures.
        "sasl.oauthbearer.jwt.validator.class": "org.apache.kafka.common.security.oauthbearer.BrokerJwtValidator",
        "sasl.oauthbearer.jwks.endpoint.url": jwks,
        "sasl.oauthbearer.expected.audience": audience,
        "sasl.oauthbearer.expected.issuer": issuer,
        [`${listener}.connections.max.reauth.ms`]: String(sessionMs),
      },
    };
  }

  /** A token for the user, as the server's access control lists name it. */
  issue(user: string, lastsMs: number, change: Readonly<Record<string, unknown>> = {}) {
    const nowMs = systemPlatform.clock.wall();
    const seconds = Math.floor(nowMs / 1_000);
    const expires = seconds + Math.ceil(lastsMs / 1_000);
    const claims = { iss: issuer, aud: audience, sub: user, scope: "kafka", iat: seconds, exp: expires, ...change };
    const part = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const signed = `${part({ alg: "RS256", kid: "tests", typ: "at+jwt" })}.${part(claims)}`;
    const signature = sign("sha256", Buffer.from(signed), this.#key).toString("base64url");
    return { token: `${signed}.${signature}`, expiresAtMs: expires * 1_000 };
  }
}
