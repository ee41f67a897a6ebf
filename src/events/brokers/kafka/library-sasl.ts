import type { KafkaSasl, SaslAuthenticate, SaslAuthenticated } from "./client.ts";
import { afterRefusal, firstMessage, type OauthTokens, printable, refusalText, SaslFailure } from "./oauth.ts";
import type { Sasl } from "./url.ts";

/** What the library needs to authenticate a connection, now and again before its session ends. */
export function librarySasl(sasl: Sasl, tokens: OauthTokens | undefined): KafkaSasl {
  if (sasl.mechanism !== "OAUTHBEARER") return { ...sasl };
  // Not the library's own exchange: it takes a refusal, which comes as a challenge, for a success.
  return {
    mechanism: "OAUTHBEARER",
    authenticate: (_mechanism, connection, ask, _user, _password, _token, callback) => {
      void exchange(tokens as OauthTokens, message => asked(ask, connection, message)).then(
        answer => callback(null, answer),
        error => callback(error as Error, undefined as never),
      );
    },
  };
}

function asked(
  ask: SaslAuthenticate,
  connection: Parameters<SaslAuthenticate>[0],
  message: Buffer,
): Promise<SaslAuthenticated> {
  return new Promise((resolve, reject) => {
    ask(connection, message, (error, answer) => (error ? reject(error) : resolve(answer as SaslAuthenticated)));
  });
}

/**
 * RFC 7628: one message, and nothing comes back but success; a challenge says why not, and is answered with one byte, upon
 * which the server ends the exchange.
 * @throws SaslFailure
 */
export async function exchange<A extends { readonly authBytes: Uint8Array }>(
  tokens: OauthTokens,
  ask: (message: Buffer) => Promise<A>,
): Promise<A> {
  const token = await tokens.token();
  let challenge: Uint8Array | undefined;
  try {
    const answer = await ask(firstMessage(token, tokens.extensions));
    if (answer.authBytes === null || answer.authBytes.length === 0) {
      tokens.accepted(token);
      return answer;
    }
    challenge = answer.authBytes;
    await ask(afterRefusal);
  } catch (cause) {
    const said = brokersText(cause);
    // Without an answer of the broker it was the connection, which says more itself.
    if (challenge === undefined && said === undefined) throw cause;
    throw refused(tokens, token, challenge, said);
  }
  throw refused(tokens, token, challenge, undefined);
}

function refused(
  tokens: OauthTokens,
  token: string,
  challenge: Uint8Array | undefined,
  said: string | undefined,
): SaslFailure {
  const mayChange = tokens.refused(token);
  const why = challenge === undefined ? "the broker refused the token" : refusalText(challenge);
  // Kafka itself repeats the challenge there.
  const isNews = said !== undefined && said !== "" && said !== Buffer.from(challenge ?? []).toString("utf8");
  const more = !isNews ? "" : ` (${printable(said.replaceAll(token, "[token]"))})`;
  return new SaslFailure(
    `authentication failed: ${why}${more}; check issuer, audience, scope and expiry of the token, and the clocks (the broker's log names the claim)`,
    !mayChange,
  );
}

/** The broker's own words; `undefined` where it has said nothing. */
function brokersText(error: unknown): string | undefined {
  const { response } = error as { readonly response?: { readonly errorMessage?: string | null } };
  return response === undefined ? undefined : (response.errorMessage ?? "");
}
