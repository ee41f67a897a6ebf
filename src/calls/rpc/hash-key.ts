import type { Method } from "../../contract/index.ts";
import type { HashBy } from "../channel/index.ts";
import type { Call } from "./call.ts";

/** What tells a call apart for `ring_hash`; `undefined`: nothing, it goes anywhere. */
export function hashKeyOf(by: HashBy, call: Call): string | undefined {
  if ("metadata" in by) {
    const value = call.metadata.get(by.metadata);
    return value === undefined ? undefined : String(value);
  }
  const value = (call.request as Readonly<Record<string, unknown>> | null | undefined)?.[by.field];
  return typeof value === "string" || typeof value === "number" || typeof value === "bigint"
    ? String(value)
    : undefined;
}

/** @throws TypeError when no request of the service has the field */
export function checkHashBy(by: HashBy | undefined, service: string, methods: readonly Method[]): void {
  if (by === undefined || "metadata" in by) return;
  const { field } = by;
  if (methods.some(({ desc }) => desc.input.fields.some(({ localName }) => localName === field))) return;
  throw new TypeError(`balancing.hashBy.field is "${field}", but no request of ${service} has such a field`);
}
