import type { EndpointLoad } from "./endpoint-load.ts";
import type { EjectionLimits } from "./limits.ts";

/** Counts the failures of one endpoint and says when it should be left out (after Envoy's outlier detection). */
export class Outlier {
  readonly #limits: EjectionLimits;
  #consecutive = 0;
  #calls = 0;
  #failures = 0;
  #windowEndsMs = 0;
  /** How often it was ejected; one less for each window that it gets through. */
  #ejections = 0;
  #ejectedUntilMs = 0;

  constructor(limits: EjectionLimits) {
    this.#limits = limits;
  }

  isEjected(nowMs: number): boolean {
    return nowMs < this.#ejectedUntilMs;
  }

  /** When the ejection ends or ended; 0: there was none, or its end has been seen. */
  get ejectedUntilMs(): number {
    return this.#ejectedUntilMs;
  }

  /** Its ejection is over: the endpoint comes back with statistics of a new one. */
  returned(load: EndpointLoad, nowMs: number): void {
    this.#ejectedUntilMs = 0;
    load.restart(nowMs);
  }

  succeeded(nowMs: number): void {
    this.#turn(nowMs);
    this.#consecutive = 0;
    this.#calls++;
  }

  /** @returns whether the endpoint should be ejected now */
  failed(nowMs: number): boolean {
    this.#turn(nowMs);
    this.#consecutive++;
    this.#calls++;
    this.#failures++;
    const { consecutiveFailures, callsMin, failureRatio } = this.#limits;
    if (this.isEjected(nowMs)) return false;
    return (
      this.#consecutive >= consecutiveFailures ||
      (this.#calls >= callsMin && this.#failures > this.#calls * failureRatio)
    );
  }

  /** @returns how long it is ejected for, in milliseconds */
  eject(nowMs: number): number {
    const { baseMs, maxMs, windowMs } = this.#limits;
    this.#ejections++;
    const forMs = Math.min(baseMs * this.#ejections, maxMs);
    this.#ejectedUntilMs = nowMs + forMs;
    this.#consecutive = 0;
    this.#calls = 0;
    this.#failures = 0;
    this.#windowEndsMs = this.#ejectedUntilMs + windowMs;
    return forMs;
  }

  /** Forgets everything: another process answers at this address now. */
  restart(): void {
    this.#consecutive = 0;
    this.#calls = 0;
    this.#failures = 0;
    this.#ejections = 0;
    this.#ejectedUntilMs = 0;
  }

  #turn(nowMs: number): void {
    if (nowMs < this.#windowEndsMs) return;
    if (this.#ejections > 0 && this.#failures === 0 && this.#windowEndsMs > 0) this.#ejections--;
    this.#calls = 0;
    this.#failures = 0;
    this.#windowEndsMs = nowMs + this.#limits.windowMs;
  }
}
