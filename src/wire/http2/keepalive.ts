import { type Clock, outsideContext, type Timer } from "../../platform/index.ts";
import { ErrorCode, Http2ConnectionError } from "./errors.ts";
import { limitToken } from "./limits.ts";

export interface KeepaliveOptions {
  /** Silence of the peer, with calls pending, after which it is asked. In milliseconds. @default 10,000 */
  readonly silenceMs: number;
  /** Time to answer anything at all. In milliseconds. @default 5,000 */
  readonly timeoutMs: number;
}

const defaults: KeepaliveOptions = { silenceMs: 10_000, timeoutMs: 5_000 };

export interface KeepaliveSubject {
  receivedAt(): number;
  /** Calls are pending: without them a ping has no reason, and a server may object to it. */
  isNeeded(): boolean;
  ping(): void;
  fail(error: Http2ConnectionError): void;
}

/** Notices a peer that is gone without a word. One timer, which looks when it fires how long it has really been silent. */
export class Keepalive {
  readonly #clock: Clock;
  readonly #options: KeepaliveOptions;
  readonly #subject: KeepaliveSubject;
  #timer: Timer | undefined;
  #watchedSince = 0;
  #pingedAt = -1;

  constructor(clock: Clock, options: KeepaliveOptions | undefined, subject: KeepaliveSubject) {
    this.#clock = clock;
    this.#options = options ?? defaults;
    this.#subject = subject;
  }

  /** A call begins. */
  watch(): void {
    if (this.#timer !== undefined) return;
    this.#watchedSince = this.#clock.now();
    this.#pingedAt = -1;
    this.#arm(this.#options.silenceMs);
  }

  stop(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(delayMs: number): void {
    // The timer serves all calls, not the one that happened to arm it.
    outsideContext(() => {
      this.#timer = this.#clock.after(delayMs, () => {
        this.#timer = undefined;
        this.#check();
      });
    });
  }

  #check(): void {
    const subject = this.#subject;
    if (!subject.isNeeded()) return;
    const now = this.#clock.now();
    const heardAt = Math.max(subject.receivedAt(), this.#watchedSince);
    // An answer may come at the very time of the ping; what came before it is older by the silence.
    if (this.#pingedAt >= 0 && subject.receivedAt() < this.#pingedAt) {
      subject.fail(new Http2ConnectionError(ErrorCode.noError, limitToken.keepalive));
      return;
    }
    const silentMs = now - heardAt;
    if (silentMs + 1 >= this.#options.silenceMs) {
      this.#pingedAt = now;
      subject.ping();
      this.#arm(this.#options.timeoutMs);
    } else {
      this.#pingedAt = -1;
      this.#arm(this.#options.silenceMs - silentMs);
    }
  }
}
