import type { Observer, Platform, Timer } from "../../platform/index.ts";
import type { Broker } from "../broker.ts";
import type { OutboxEvent } from "./events.ts";
import {
  cleanUpMs,
  cleanUpRowsMax,
  passBytesMax,
  passRowsMax,
  reasonCharsMax,
  renewalsPerLease,
  retryMsMax,
  retryMsMin,
} from "./limits.ts";
import type { Lease, OutboxRow, OutboxStore } from "./store.ts";

export interface RelaySettings {
  readonly leaseMs: number;
  readonly pollMs: number;
  readonly keepSentMs: number;
  readonly holdKeys: boolean;
  readonly observer: Observer;
  readonly platform: Platform;
}

/**
 * Moves rows of an outbox to the broker, pass after pass: lease buckets, read the oldest unsent rows of them, publish all,
 * mark those that were confirmed. Passes never overlap, and a row stays unsent until it is marked, so that order per key is
 * the broker's and a crash at any point sends rows again with the same ids, and loses none.
 *
 * A pass starts with a signal, after a full pass at once, and otherwise by polling. While the broker takes nothing, passes
 * are spaced by a back-off that signals do not shorten.
 */
export class Relay {
  readonly #store: OutboxStore<never>;
  readonly #broker: Pick<Broker, "forward">;
  readonly #settings: RelaySettings;
  readonly #owner: string;
  #isClosed = false;
  #isWoken = false;
  /** The pass that is under way. */
  #pass: Promise<void> | undefined;
  #timer: Timer | undefined;
  #renewal: Timer | undefined;
  #failures = 0;
  #notBeforeMs = Number.NEGATIVE_INFINITY;
  #leases: readonly Lease[] | undefined;
  #leaseAgainAtMs = 0;
  /** When scheduled rows are looked at again. */
  #scheduledAtMs = Number.NEGATIVE_INFINITY;
  /** Whether rows may be parked, so that later ones of their keys have to be looked for. */
  #hasParked = true;
  #cleanedAtMs: number;
  #stopListening: (() => void) | undefined;

  constructor(store: OutboxStore<never>, broker: Pick<Broker, "forward">, settings: RelaySettings) {
    this.#store = store;
    this.#broker = broker;
    this.#settings = settings;
    const { clock, random } = settings.platform;
    this.#owner = Buffer.from(random.bytes(12)).toString("hex");
    this.#cleanedAtMs = clock.now();
  }

  start(): void {
    this.wake();
    this.#armRenewal();
    void this.#listen();
  }

  /** Rows may have come. */
  wake(): void {
    if (this.#isClosed || this.#isWoken) return;
    this.#isWoken = true;
    // All transactions of a turn are one pass.
    this.#settings.platform.clock.endOfTurn(() => this.#begin());
  }

  /** Ends after the pass that is under way, and gives the buckets back. */
  async close(): Promise<void> {
    this.#isClosed = true;
    this.#timer?.cancel();
    this.#renewal?.cancel();
    await this.#pass;
    this.#stopListening?.();
    try {
      await this.#store.release(this.#owner);
    } catch (error) {
      // They end by themselves.
      this.#emit({ type: "outbox.failed", step: "database", error, retryMs: this.#settings.leaseMs });
    }
  }

  #begin(): void {
    if (this.#isClosed || this.#pass !== undefined) return;
    const { clock } = this.#settings.platform;
    const waitMs = this.#notBeforeMs - clock.now();
    if (waitMs > 0) {
      this.#isWoken = false;
      this.#schedule(waitMs);
      return;
    }
    this.#isWoken = false;
    this.#timer?.cancel();
    this.#pass = this.#run().then(nextMs => {
      this.#pass = undefined;
      if (this.#isClosed) return;
      if (this.#isWoken) this.#begin();
      else this.#schedule(nextMs);
    });
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#settings.platform.clock.after(delayMs, () => this.#begin());
  }

  /** One pass. Resolves with the milliseconds until the next, where no signal comes before; never rejects. */
  async #run(): Promise<number> {
    try {
      const { clock } = this.#settings.platform;
      const leases = await this.#lease();
      if (clock.now() >= this.#scheduledAtMs) await this.#wakeScheduled();
      if (this.#hasParked) this.#hasParked = await this.#store.holdBack();
      const rows = await this.#store.unsent(leases, passRowsMax, passBytesMax, this.#hasParked);
      const hasFailed = rows.length > 0 && !(await this.#send(rows));
      await this.#cleanUp();
      if (hasFailed) return this.#backOff();
      this.#failures = 0;
      if (rows.length >= passRowsMax) return 0;
      return Math.min(this.#jittered(this.#settings.pollMs), Math.max(0, this.#scheduledAtMs - clock.now()));
    } catch (error) {
      const retryMs = this.#backOff();
      this.#emit({ type: "outbox.failed", step: "database", error, retryMs });
      return retryMs;
    }
  }

  /** The buckets of this relay. A busy one asks for them now and then, not in every pass. */
  async #lease(): Promise<readonly Lease[]> {
    const { clock } = this.#settings.platform;
    if (this.#leases !== undefined && clock.now() < this.#leaseAgainAtMs) return this.#leases;
    const askedAtMs = clock.now();
    this.#leases = await this.#store.lease(this.#owner, this.#settings.leaseMs, false);
    this.#leaseAgainAtMs = askedAtMs + this.#settings.leaseMs / renewalsPerLease;
    // Another relay may have parked rows of buckets that are new here.
    this.#hasParked = true;
    return this.#leases;
  }

  async #wakeScheduled(): Promise<void> {
    const nextMs = (await this.#store.wakeScheduled()) ?? Number.POSITIVE_INFINITY;
    // Not before the next look at the table, because other processes may schedule rows too.
    this.#scheduledAtMs = this.#settings.platform.clock.now() + Math.min(nextMs, this.#settings.pollMs);
  }

  /** Resolves with whether the broker took anything. */
  async #send(rows: readonly OutboxRow[]): Promise<boolean> {
    const failures = await this.#broker.forward(rows.map(row => row.record));
    const sent: OutboxRow[] = [];
    let retryable: Error | undefined;
    const parking: Promise<void>[] = [];
    for (const [index, row] of rows.entries()) {
      const failure = failures[index];
      if (failure === undefined) sent.push(row);
      else if (failure.isRetryable) retryable ??= failure.error;
      else parking.push(this.#park(row, failure.error));
    }
    await Promise.all(parking);
    if (sent.length > 0) {
      const marked = await this.#store.markSent(sent);
      if (marked > 0) this.#emit({ type: "outbox.relayed", count: marked });
      if (marked < sent.length) {
        this.#leases = undefined;
        this.#emit({ type: "outbox.fenced", count: sent.length - marked });
      }
    }
    if (retryable !== undefined && sent.length === 0 && parking.length === 0) {
      this.#emit({ type: "outbox.failed", step: "publish", error: retryable, retryMs: this.#nextBackOffMs() });
      return false;
    }
    return true;
  }

  async #park(row: OutboxRow, error: Error): Promise<void> {
    const reason = `${error.name}: ${error.message}`.slice(0, reasonCharsMax);
    await this.#store.park(row, reason, this.#settings.holdKeys);
    this.#hasParked = true;
    const { id, topic } = row.record;
    this.#emit({ type: "outbox.refused", sequence: row.sequence, id, topic, error });
  }

  async #cleanUp(): Promise<void> {
    const now = this.#settings.platform.clock.now();
    if (now - this.#cleanedAtMs < cleanUpMs) return;
    const removed = await this.#store.cleanUp(this.#settings.keepSentMs, cleanUpRowsMax);
    // When it was a full batch there is more: with the next pass.
    if (removed < cleanUpRowsMax) this.#cleanedAtMs = now;
  }

  /** A pass may wait for a broker that does not answer; its leases must not end meanwhile. */
  #armRenewal(): void {
    const { platform, leaseMs } = this.#settings;
    this.#renewal = platform.clock.after(leaseMs / renewalsPerLease, () => void this.#renew());
  }

  async #renew(): Promise<void> {
    try {
      await this.#store.lease(this.#owner, this.#settings.leaseMs, true);
    } catch (error) {
      this.#emit({
        type: "outbox.failed",
        step: "database",
        error,
        retryMs: this.#settings.leaseMs / renewalsPerLease,
      });
    }
    if (!this.#isClosed) this.#armRenewal();
  }

  async #listen(): Promise<void> {
    try {
      const stop = await this.#store.listen(
        () => this.wake(),
        error => this.#listenLater(error),
      );
      if (this.#isClosed) stop?.();
      else this.#stopListening = stop;
    } catch (error) {
      this.#listenLater(error);
    }
  }

  /** Polling finds the rows meanwhile, only later. */
  #listenLater(error: unknown): void {
    if (this.#isClosed) return;
    const retryMs = this.#jittered(retryMsMax);
    this.#emit({ type: "outbox.failed", step: "notify", error, retryMs });
    this.#settings.platform.clock.after(retryMs, () => {
      if (!this.#isClosed) void this.#listen();
    });
  }

  #nextBackOffMs(): number {
    return Math.min(retryMsMin * 2 ** this.#failures, retryMsMax);
  }

  #backOff(): number {
    const delayMs = this.#jittered(this.#nextBackOffMs());
    this.#failures++;
    this.#notBeforeMs = this.#settings.platform.clock.now() + delayMs;
    return delayMs;
  }

  /** Between a half and the whole, so that relays that were stopped together do not come back together. */
  #jittered(ms: number): number {
    return ms * (0.5 + this.#settings.platform.random.next() / 2);
  }

  #emit(event: OutboxEvent): void {
    this.#settings.observer.emit(event);
  }
}
