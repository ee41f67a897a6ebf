import type { Clock } from "../../../platform/index.ts";

/** Resolves after `delayMs`, or at once when `signal` is aborted. Somebody waits for what comes then: it keeps the process alive. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted === true) {
      resolve();
      return;
    }
    const end = () => {
      timer.cancel();
      signal?.removeEventListener("abort", end);
      resolve();
    };
    const timer = clock.after(delayMs, end, true);
    signal?.addEventListener("abort", end);
  });
}
