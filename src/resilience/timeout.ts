import { systemPlatform } from "../platform/index.ts";
import { durationMs, numberOption } from "./options.ts";
import type { Machine, RunOptions, Work } from "./part.ts";
import { planOf } from "./plan.ts";
import { execute } from "./run.ts";

const systemPlan = planOf(systemPlatform, {});

/**
 * Runs work that must be done within `timeoutMs` milliseconds. When the time is over the signal is aborted and the caller
 * gets a {@link TimeoutError} at once, whether the work ends or not.
 *
 * ```ts
 * const order = await withTimeout(5_000, signal => fetch(url, { signal }));
 * ```
 *
 * @param options.signal aborts the work too; its reason is what the caller gets
 * @param options.platform time; a virtual one in tests @default the system's
 * @throws TimeoutError; what the work throws; RangeError, TypeError when `timeoutMs` is no number from 1 to 2³¹ − 1
 */
export async function withTimeout<T>(
  timeoutMs: number,
  work: Work<T>,
  options: RunOptions & { readonly platform?: Machine | undefined } = {},
): Promise<T> {
  const limitMs = numberOption("timeoutMs", timeoutMs, Number.NaN, durationMs);
  const plan = options.platform === undefined ? systemPlan : planOf(options.platform, {});
  return execute(plan, work, { ...options, timeoutMs: limitMs });
}

/**
 * The time left until a deadline, less a margin, as a deadline for what is called next: the hop must answer while there is
 * still time to pass the answer on.
 *
 * @param deadline monotonic time in milliseconds
 * @param marginMs what the way back takes, in milliseconds @default 5
 */
export function hopDeadline(deadline: number, marginMs = 5): number {
  return deadline - numberOption("marginMs", marginMs, 5, { min: 0, max: 60_000, unit: "ms" });
}
