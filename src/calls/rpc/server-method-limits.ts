import type { Platform } from "../../platform/index.ts";
import { Bulkhead } from "../../resilience/index.ts";
import { knownNames } from "./server-overload.ts";

/** A fixed limit of one method: what runs at once, and what waits for it. */
export interface MethodLimit {
  /** Calls at once; streams count until they end. */
  readonly concurrent: number;
  /** Calls that wait for a place, with their request in memory; 0: none. @default 0 */
  readonly queue?: number | undefined;
  /** Longest wait in milliseconds; the call's deadline counts too. @default 5,000 */
  readonly maxWaitMs?: number | undefined;
}

/**
 * The fixed limits by the path of their method.
 * @throws TypeError, RangeError for a path that nothing is served at, and for limits that are wrong
 */
export function methodPlaces(
  limits: Readonly<Record<string, MethodLimit>>,
  isServed: (path: string) => boolean,
  platform: Platform,
): ReadonlyMap<string, Bulkhead> {
  if (typeof limits !== "object" || limits === null || Array.isArray(limits)) {
    throw new TypeError("methodLimits: expected an object with a limit by path, such as /order.OrderService/GetOrder");
  }
  const places = new Map<string, Bulkhead>();
  for (const [path, limit] of Object.entries(limits)) {
    const name = `methodLimits["${path}"]`;
    if (!isServed(path)) {
      throw new TypeError(`${name}: no method is served there; a path is such as /order.OrderService/GetOrder`);
    }
    knownNames(name, limit, ["concurrent", "queue", "maxWaitMs"]);
    if (limit.concurrent === undefined) throw new TypeError(`${name}.concurrent is missing: how many may run at once`);
    places.set(path, new Bulkhead({ queue: 0, ...limit, platform }, name));
  }
  return places;
}
