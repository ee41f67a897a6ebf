import { systemPlatform } from "trunkline";

/** A time as events tell it: ISO 8601 in UTC with milliseconds. @param ms since 1970-01-01 UTC @default now */
export function timestamp(ms = systemPlatform.clock.wall()): string {
  return new Date(ms).toISOString();
}
