import { RpcError } from "../../errors/index.ts";
import { type Clock, type Observer, outsideContext } from "../../platform/index.ts";
import { type JsonWebKeySet, keysUrlOf, verificationKeys } from "./key-documents.ts";
import type { KeyLimits } from "./limits.ts";

/** Reads a document. @throws (rejects) when it cannot be had within the limits */
export type FetchDocument = (
  url: URL,
  limits: { readonly timeoutMs: number; readonly bytesMax: number },
) => Promise<{ readonly status: number; readonly body: Uint8Array }>;

/** Where keys are: at an address, or where an issuer's description says. */
export type KeySource =
  | { readonly kind: "keys"; readonly url: URL }
  | { readonly kind: "discovery"; readonly url: URL; readonly issuer: string };

/** Keys of an issuer were fetched. */
export interface KeysFetched {
  readonly type: "auth.keys.fetched";
  readonly url: string;
  readonly keys: number;
}

/** Keys of an issuer could not be fetched; those that it gave last count on, for some time. */
export interface KeysFetchFailed {
  readonly type: "auth.keys.failed";
  readonly url: string;
  readonly error: Error;
}

/** One state of an issuer's keys; `select` finds the key of a token's header. */
export interface KeySnapshot<T> {
  readonly select: T;
  readonly fetchedAtMs: number;
}

/**
 * The keys of an issuer, kept as {@link KeyLimits} says: used while fresh, renewed beside the calls before they are old,
 * asked for again when a token names a key that is not among them, kept while the issuer cannot be reached. However many
 * calls wait, there is one fetch.
 */
export class RemoteKeys<T> {
  readonly #source: KeySource;
  readonly #limits: KeyLimits;
  readonly #fetchDocument: FetchDocument;
  readonly #clock: Clock;
  readonly #observer: Observer;
  readonly #compile: (keys: JsonWebKeySet) => T;
  #keysUrl: URL | undefined;
  #snapshot: KeySnapshot<T> | undefined;
  #fetching: Promise<KeySnapshot<T>> | undefined;
  /** When the last fetch ended, and how. */
  #endedAtMs = Number.NEGATIVE_INFINITY;
  #failure: Error | undefined;

  constructor(
    source: KeySource,
    limits: KeyLimits,
    fetchDocument: FetchDocument,
    clock: Clock,
    observer: Observer,
    compile: (keys: JsonWebKeySet) => T,
  ) {
    this.#source = source;
    this.#limits = limits;
    this.#fetchDocument = fetchDocument;
    this.#clock = clock;
    this.#observer = observer;
    this.#compile = compile;
  }

  /** The keys to begin with. @throws (rejects) RpcError `unavailable` when there are none, or none that count any more */
  async current(): Promise<KeySnapshot<T>> {
    const snapshot = this.#snapshot;
    const { maxAgeMs, staleMaxMs } = this.#limits;
    const ageMs = snapshot === undefined ? Number.POSITIVE_INFINITY : this.#clock.now() - snapshot.fetchedAtMs;
    if (snapshot !== undefined && ageMs < maxAgeMs) {
      // A failure is remembered and told to the observer; these keys are good.
      if (ageMs >= maxAgeMs * 0.8 && !this.#isPausing()) this.#renew().catch(() => {});
      return snapshot;
    }
    try {
      if (this.#fetching === undefined && this.#isPausing()) throw this.#failure;
      return await this.#renew();
    } catch (error) {
      if (snapshot !== undefined && ageMs < staleMaxMs) return snapshot;
      throw this.#unavailable(error);
    }
  }

  /**
   * Keys that may have one more than `seen`; the same where it is too early to ask again.
   * @throws (rejects) RpcError `unavailable` when the issuer cannot be asked, so that nobody knows whether it has the key
   */
  async newerThan(seen: KeySnapshot<T>): Promise<KeySnapshot<T>> {
    const snapshot = this.#snapshot;
    if (snapshot !== undefined && snapshot !== seen) return snapshot;
    try {
      if (this.#fetching === undefined) {
        if (this.#isPausing()) throw this.#failure;
        const isEarly = this.#clock.now() - this.#endedAtMs < this.#limits.cooldownMs;
        if (this.#failure === undefined && isEarly) return seen;
      }
      return await this.#renew();
    } catch (error) {
      throw this.#unavailable(error);
    }
  }

  /** The last fetch has failed a moment ago. */
  #isPausing(): boolean {
    return this.#failure !== undefined && this.#clock.now() - this.#endedAtMs < this.#limits.retryMs;
  }

  #unavailable(cause: unknown): RpcError {
    return new RpcError("unavailable", "the keys that verify tokens cannot be had at the moment", {
      cause,
      retryAfterMs: this.#limits.retryMs,
    });
  }

  #renew(): Promise<KeySnapshot<T>> {
    // The fetch serves all who wait: it belongs to none of the calls and not to their deadlines.
    this.#fetching ??= outsideContext(() => this.#fetchKeys()).finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  async #fetchKeys(): Promise<KeySnapshot<T>> {
    let url = this.#source.url;
    try {
      if (this.#source.kind === "discovery") {
        const { issuer } = this.#source;
        this.#keysUrl ??= await this.#read(url, document => keysUrlOf(document, issuer));
        url = this.#keysUrl;
      }
      const keys = await this.#read(url, document => verificationKeys(document, this.#limits.keysMax));
      const snapshot = { select: this.#compile(keys), fetchedAtMs: this.#clock.now() };
      this.#snapshot = snapshot;
      this.#failure = undefined;
      const event: KeysFetched = { type: "auth.keys.fetched", url: nameOf(url), keys: keys.keys.length };
      this.#observer.emit(event);
      return snapshot;
    } catch (cause) {
      const error = cause instanceof Error ? cause : new Error(String(cause));
      this.#failure = error;
      this.#keysUrl = undefined; // the issuer may have moved them
      const event: KeysFetchFailed = { type: "auth.keys.failed", url: nameOf(url), error };
      this.#observer.emit(event);
      throw error;
    } finally {
      this.#endedAtMs = this.#clock.now();
    }
  }

  async #read<R>(url: URL, take: (document: unknown) => R): Promise<R> {
    const { status, body } = await this.#fetchDocument(url, this.#limits);
    try {
      if (status !== 200) throw new Error(`the answer has status ${status} instead of 200`);
      if (body.length > this.#limits.bytesMax) throw new Error(`it is longer than ${this.#limits.bytesMax} bytes`);
      return take(parse(body));
    } catch (cause) {
      throw new Error(`${nameOf(url)}: ${(cause as Error).message}`, { cause });
    }
  }
}

function parse(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(body));
  } catch {
    // The parser's message quotes the document.
    throw new Error("it is no JSON in UTF-8");
  }
}

function nameOf(url: URL): string {
  return url.origin + url.pathname;
}
