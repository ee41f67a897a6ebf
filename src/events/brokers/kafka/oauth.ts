import { type Clock, outsideContext } from "../../../platform/index.ts";
import type { KafkaOauthOptions, OauthToken } from "../../broker.ts";
import { BrokerError } from "../../errors.ts";
import { tokenAgainMs, tokenCharsMax, tokenLeastMs, tokenShare, tokenTimeoutMs } from "./limits.ts";
import type { Sasl } from "./url.ts";

/** Authentication did not come about. The message is ours and for people: it never has a token in it. */
export class SaslFailure extends Error {
  override readonly name = "SaslFailure";
  /** Another attempt with what is configured changes nothing. */
  readonly isFinal: boolean;

  constructor(message: string, isFinal: boolean, options?: ErrorOptions) {
    super(message, options);
    this.isFinal = isFinal;
  }
}

interface Held extends OauthToken {
  /** From here on another one is asked for. */
  readonly renewAtMs: number;
  /** It has not been shown to a broker yet. */
  isFresh: boolean;
}

/**
 * The bearer token of a client (RFC 6750), made by a function of the user or always the same. One question at a time, whoever
 * waits; asked when somebody authenticates, and again when four fifths of a token's time are over. Brokers end the session
 * of a connection with its token, and connections authenticate anew before that (KIP-368), so that asking then is enough.
 * While a new token cannot be had, the old one serves as long as it lasts.
 */
export class OauthTokens {
  readonly #source: KafkaOauthOptions["token"];
  readonly #clock: Clock;
  readonly extensions: string;
  #held: Held | undefined;
  #asking: Promise<string> | undefined;
  #failure: SaslFailure | undefined;
  #notBeforeMs = Number.NEGATIVE_INFINITY;

  /** @throws BrokerError for options that no token can come from */
  constructor({ token, extensions = {} }: KafkaOauthOptions, clock: Clock) {
    if (typeof token !== "function" && typeof token !== "string") {
      throw new BrokerError(
        `connectBroker: kafka.oauth.token is a ${typeof token}; it must be a text or a function that resolves with { token, expiresAtMs }`,
      );
    }
    if (typeof token === "string") {
      const problem = problemOf(token);
      if (problem !== undefined) throw new BrokerError(`connectBroker: kafka.oauth.token ${problem}`);
    }
    this.#source = token;
    this.#clock = clock;
    this.extensions = extensionsFrom(extensions);
  }

  /** A token that can be shown to a broker. @throws SaslFailure when there is none */
  token(): Promise<string> {
    if (typeof this.#source === "string") return Promise.resolve(this.#source);
    const held = this.#held;
    const nowMs = this.#clock.wall();
    if (held !== undefined && nowMs < held.renewAtMs) return Promise.resolve(held.token);
    if (this.#asking === undefined) {
      // Who is asked in vain is not asked by every connection again at once.
      if (this.#failure !== undefined && this.#clock.now() < this.#notBeforeMs) return this.#without(this.#failure);
      const asking = this.#ask(this.#source).finally(() => {
        this.#asking = undefined;
      });
      this.#asking = asking;
    }
    return this.#asking;
  }

  /** A broker has refused it. @returns whether another attempt may bring another token */
  refused(token: string): boolean {
    const held = this.#held;
    if (held?.token !== token) return typeof this.#source === "function";
    this.#held = undefined;
    return !held.isFresh;
  }

  /** A broker has taken it. */
  accepted(token: string): void {
    if (this.#held?.token === token) this.#held.isFresh = false;
  }

  async #ask(source: () => OauthToken | Promise<OauthToken>): Promise<string> {
    const { promise: tooLate, reject } = Promise.withResolvers<never>();
    const timer = outsideContext(() =>
      this.#clock.after(tokenTimeoutMs, () => reject(new Error(`it took longer than ${tokenTimeoutMs / 1_000} s`))),
    );
    try {
      const answer = await Promise.race([outsideContext(async () => source()), tooLate]);
      this.#failure = undefined;
      const held = this.#accept(answer);
      this.#held = held;
      return held.token;
    } catch (cause) {
      this.#notBeforeMs = this.#clock.now() + tokenAgainMs;
      this.#failure =
        cause instanceof SaslFailure
          ? cause
          : new SaslFailure(
              `kafka.oauth.token gave no token: ${this.#withoutTokens((cause as Error)?.message)}`,
              false,
            );
      return this.#without(this.#failure);
    } finally {
      timer.cancel();
    }
  }

  async #without(failure: SaslFailure): Promise<string> {
    const held = this.#held;
    if (held !== undefined && this.#clock.wall() < held.expiresAtMs) return held.token;
    throw failure;
  }

  #accept(answer: OauthToken): Held {
    const nowMs = this.#clock.wall();
    const { token, expiresAtMs } = answer ?? {};
    const problem = typeof token === "string" ? problemOf(token) : `resolved with a ${typeof token} as token`;
    if (problem !== undefined) throw new SaslFailure(`kafka.oauth.token ${problem}`, false);
    if (typeof expiresAtMs !== "number" || !(expiresAtMs > nowMs)) {
      const given = typeof expiresAtMs === "number" ? "in the past" : `a ${typeof expiresAtMs}`;
      throw new SaslFailure(
        `kafka.oauth.token resolved with expiresAtMs ${given}; it must be milliseconds since 1970-01-01 UTC, after now`,
        false,
      );
    }
    const lastsMs = expiresAtMs - nowMs;
    const renewAtMs = nowMs + Math.max(lastsMs * tokenShare, Math.min(lastsMs, tokenLeastMs));
    return { token, expiresAtMs, renewAtMs, isFresh: true };
  }

  /** What a function throws may repeat what it was given. */
  #withoutTokens(message: unknown): string {
    const text = String(message ?? "it failed without a message").slice(0, 500);
    const known = this.#held?.token;
    const plain = known === undefined ? text : text.replaceAll(known, "…");
    // Anything that looks like a JWT, or is as long as a token.
    return plain.replace(/[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}(\.[A-Za-z0-9_-]*)?|[A-Za-z0-9_+/=-]{40,}/g, "…");
  }
}

/** Where the tokens of a connection come from: the URL or the options. @throws BrokerError when that is not exactly one of them */
export function oauthTokens(
  sasl: Sasl | undefined,
  oauth: KafkaOauthOptions | undefined,
  clock: Clock,
): OauthTokens | undefined {
  if (sasl?.mechanism !== "OAUTHBEARER") {
    if (oauth === undefined) return undefined;
    throw new BrokerError(
      "connectBroker: kafka.oauth is set, but the URL has no sasl=oauthbearer; add it, without a user",
    );
  }
  if (sasl.token !== undefined && oauth !== undefined) {
    throw new BrokerError("connectBroker: the URL has a token, and kafka.oauth gives one too; leave one of them out");
  }
  const token = sasl.token ?? oauth?.token;
  if (token === undefined) {
    throw new BrokerError(
      "kafka: sasl=oauthbearer needs a token: kafka.oauth.token of connectBroker's options, or the password of the URL",
    );
  }
  return new OauthTokens({ ...oauth, token }, clock);
}

/** The client's first message (RFC 7628, section 3.1), without an authorization identity. */
export function firstMessage(token: string, extensions: string): Buffer {
  return Buffer.from(`n,,\x01auth=Bearer ${token}${extensions}\x01\x01`, "utf8");
}

/** The answer to a challenge that says why (section 3.2.3): without it the server does not end the exchange. */
export const afterRefusal = Buffer.of(1);

/** What a server says of a token that it does not take (section 3.2.2). */
export function refusalText(challenge: Uint8Array): string {
  let said: unknown;
  try {
    said = JSON.parse(Buffer.from(challenge).toString("utf8"));
  } catch {
    return "the broker refused the token";
  }
  const { status, scope } = (typeof said === "object" && said !== null ? said : {}) as Record<string, unknown>;
  const parts = ["the broker refused the token"];
  if (typeof status === "string") parts.push(`: ${printable(status)}`);
  if (typeof scope === "string" && scope !== "") parts.push(`; it wants the scope ${printable(scope)}`);
  return parts.join("");
}

/** Foreign text in a message of ours: one line, and not long. */
export function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 300);
}

function problemOf(token: string): string | undefined {
  if (token === "") return "is empty";
  if (token.length > tokenCharsMax) return `has ${token.length} characters; ${tokenCharsMax} are the most`;
  // RFC 6750, section 2.1; anything else could end the message early and say more than it should.
  return /^[A-Za-z0-9._~+/-]+=*$/.test(token)
    ? undefined
    : "is no bearer token: it may have only A-Z a-z 0-9 . _ ~ + / - and = at its end (RFC 6750)";
}

/** Key-value pairs beside the token, for example `logicalCluster` (RFC 7628, section 3.1). */
function extensionsFrom(extensions: Readonly<Record<string, string>>): string {
  let text = "";
  for (const [name, value] of Object.entries(extensions)) {
    if (!/^[A-Za-z]{1,100}$/.test(name) || name.toLowerCase() === "auth") {
      throw new BrokerError(
        `connectBroker: kafka.oauth.extensions has the name ${JSON.stringify(name.slice(0, 100))}; it must be letters only, and not "auth"`,
      );
    }
    if (typeof value !== "string" || !/^[\x21-\x7e \t\r\n]{1,1000}$/.test(value)) {
      throw new BrokerError(
        `connectBroker: kafka.oauth.extensions.${name} must be a text of 1 to 1000 printable ASCII characters`,
      );
    }
    text += `\x01${name}=${value}`;
  }
  return text;
}
