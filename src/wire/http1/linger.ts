import type { ByteStream } from "../../platform/index.ts";
import type { Http1Limits } from "./limits.ts";
import type { Watchdog } from "./watchdog.ts";

/**
 * The time between our end and the peer's (RFC 9112, section 9.6). What the peer still sends is thrown away, so that
 * unread input does not destroy the answer; a peer that still reads gets more time.
 */
export class Linger {
  readonly #stream: ByteStream;
  readonly #limits: Http1Limits;
  readonly #watchdog: Watchdog;
  #leftMs = 0;
  #bufferedBytes = 0;
  #receivedBytes = 0;

  constructor(stream: ByteStream, limits: Http1Limits, watchdog: Watchdog) {
    this.#stream = stream;
    this.#limits = limits;
    this.#watchdog = watchdog;
  }

  begin(): void {
    this.#leftMs = this.#limits.writeStallMs;
    this.#bufferedBytes = this.#stream.bufferedBytes;
    this.#watchdog.set(this.#limits.lingerMs);
  }

  /** `false`: more has come than we take. */
  receives(bytes: number): boolean {
    this.#receivedBytes += bytes;
    return this.#receivedBytes <= this.#limits.lingerBytesMax;
  }

  /** `true` while the peer still reads what was written before our end; then its time begins anew. */
  goesOn(): boolean {
    const { bufferedBytes } = this.#stream;
    if (bufferedBytes === 0 && this.#bufferedBytes === 0) return false;
    if (bufferedBytes < this.#bufferedBytes) this.#leftMs = this.#limits.writeStallMs;
    else this.#leftMs -= this.#limits.lingerMs;
    this.#bufferedBytes = bufferedBytes;
    if (this.#leftMs <= 0) return false;
    this.#watchdog.set(this.#limits.lingerMs);
    return true;
  }
}
