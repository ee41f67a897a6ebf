import { readFileSync } from "node:fs";
import { gunzipSync, zstdDecompressSync } from "node:zlib";
import type * as Kafka from "@platformatic/kafka";
import type { Clock } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import { LibraryChannel } from "./library-channel.ts";
import { librarySasl } from "./library-sasl.ts";
import { connectTimeoutMs } from "./limits.ts";
import type { OauthTokens } from "./oauth.ts";
import type { KafkaUrl } from "./url.ts";
import type { Channel, KafkaClient } from "./wire.ts";

/**
 * The only file that imports the client library. From it come connections (TCP, TLS, SASL), the codecs of requests and
 * answers, CRC-32C and decompression; everything that has a state is ours. Its producer and consumers are not used: they
 * reorder when connections break, and cannot wait for handlers before a rebalance.
 */
const packageName = "@platformatic/kafka";

/** The library, for the files that are given it. */
export type Library = typeof Kafka;
export type Connection = Kafka.Connection;
export type ConnectionPool = Kafka.ConnectionPool;
export type Reader = Kafka.Reader;
export type KafkaSasl = Kafka.SASLOptions;
type Authenticate = Parameters<NonNullable<KafkaSasl["authenticate"]>>;
export type SaslAuthenticate = Authenticate[2];
export type SaslAuthenticated = NonNullable<Parameters<Authenticate[6]>[1]>;

/** What a broker speaks. */
export type Versions = ReadonlyMap<string, { readonly minVersion: number; readonly maxVersion: number }>;

/**
 * @param tokens for a URL with `sasl=oauthbearer`
 * @throws BrokerError when the package is not installed
 */
export async function loadClient(
  url: KafkaUrl,
  clientId: string,
  clock: Clock,
  tokens?: OauthTokens,
): Promise<KafkaClient> {
  let library: Library;
  try {
    library = await import("@platformatic/kafka");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "ERR_MODULE_NOT_FOUND" && message.includes(packageName)) {
      throw new BrokerError(`kafka: the package ${packageName} is not installed; run: npm install ${packageName}`, {
        cause,
      });
    }
    throw cause;
  }
  return new LibraryClient(library, url, clientId, clock, tokens);
}

class LibraryClient implements KafkaClient {
  readonly crc32c: (bytes: Uint8Array) => number;
  readonly #library: Library;
  readonly #url: KafkaUrl;
  readonly #clientId: string;
  readonly #clock: Clock;
  readonly #tls: { readonly ca?: Buffer } | undefined;
  readonly #tokens: OauthTokens | undefined;
  /** What each broker speaks, by `host:port`. */
  readonly #versions = new Map<string, Promise<Versions>>();

  constructor(library: Library, url: KafkaUrl, clientId: string, clock: Clock, tokens: OauthTokens | undefined) {
    this.#library = library;
    this.#tokens = tokens;
    this.#clock = clock;
    this.#url = url;
    this.#clientId = clientId;
    this.#tls = url.tls === undefined ? undefined : { ...(url.tls.ca === undefined ? {} : { ca: caFrom(url.tls.ca) }) };
    this.crc32c = bytes => library.crc32c(bytes as Buffer) >>> 0;
  }

  decompress = (codec: number, bytes: Buffer, bytesMax: number): Buffer => {
    // These two can be told when to stop; the library's cannot.
    if (codec === 1) return gunzipSync(bytes, { maxOutputLength: bytesMax });
    if (codec === 4 && zstdDecompressSync !== undefined)
      return zstdDecompressSync(bytes, { maxOutputLength: bytesMax });
    const algorithm = this.#library.compressionsAlgorithmsByBitmask[codec];
    if (algorithm === undefined) throw new Error(`compression ${codec} is unknown`);
    const plain = algorithm.decompressSync(bytes);
    if (plain.length > bytesMax) throw new Error(`a record batch has more than ${bytesMax} bytes when decompressed`);
    return plain;
  };

  channel(requestTimeoutMs: number): Channel {
    const { sasl } = this.#url;
    // Names are said to the broker (SNI); addresses must not be, and the library knows no difference.
    const makePool = (host: string) => {
      const pool = new this.#library.ConnectionPool(this.#clientId, {
        connectTimeout: connectTimeoutMs,
        requestTimeout: requestTimeoutMs,
        ...(this.#tls === undefined ? {} : { tls: this.#tls, tlsServerName: !isAddress(host) }),
        ...(sasl === undefined ? {} : { sasl: librarySasl(sasl, this.#tokens) }),
      });
      // A connection that fails to authenticate anew and then breaks tells of it twice; the pool listens once.
      pool.on("connecting", ({ connection }) => connection.on("error", () => {}));
      return pool;
    };
    const tokens = this.#tokens;
    return new LibraryChannel(this.#library, makePool, {
      clock: this.#clock,
      uses: { tls: this.#tls !== undefined, sasl: sasl !== undefined },
      // Asked for before the time of the connection begins to run.
      beforeConnect: tokens === undefined ? undefined : () => tokens.token(),
      versionsOf: (key, ask) => this.#versionsOf(key, ask),
      forget: key => this.#versions.delete(key),
    });
  }

  #versionsOf(key: string, ask: () => Promise<Versions>): Promise<Versions> {
    const known = this.#versions.get(key);
    if (known !== undefined) return known;
    const asked = ask();
    this.#versions.set(key, asked);
    asked.catch(() => this.#versions.delete(key));
    return asked;
  }
}

function caFrom(path: string): Buffer {
  try {
    return readFileSync(path);
  } catch (cause) {
    throw new BrokerError(`kafka: ca=${path} in the URL cannot be read: ${(cause as Error).message}`, { cause });
  }
}

function isAddress(host: string): boolean {
  return host.includes(":") || /^[0-9.]+$/.test(host);
}
