import CircuitBreaker from "opossum";
import { failing, type GuardPeer, work } from "../protocol/guard.ts";

/** Without percentiles and snapshots, which its documentation calls expensive; they are on by default. */
const lean = { rollingPercentilesEnabled: false, enableSnapshots: false, resetTimeout: 3_600_000 };

const parts = new CircuitBreaker(work, { ...lean, timeout: 5_000, capacity: 10 });
parts.fallback(() => 0);
const closed = new CircuitBreaker(work, { ...lean, timeout: false });
const open = new CircuitBreaker(failing, { ...lean, timeout: false });
open.open();

export const guards: GuardPeer = {
  "five-parts": () => parts.fire(),
  "breaker-closed": () => closed.fire(),
  "breaker-open": () => open.fire(),
};
