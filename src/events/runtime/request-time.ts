import type { Clock } from "../../platform/index.ts";
import type { StoredRecord } from "../record.ts";

/**
 * Milliseconds until nobody waits for the reply to a record any more, by wall time. Infinity for events, whose expiry says
 * only when a handler must have begun, and for requests without one.
 */
export function requestTimeLeftMs({ attributes: { expiresAtMs, replyTo } }: StoredRecord, clock: Clock): number {
  return replyTo === undefined || expiresAtMs === undefined ? Number.POSITIVE_INFINITY : expiresAtMs - clock.wall();
}
