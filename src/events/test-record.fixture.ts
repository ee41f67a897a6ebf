import type { EventRecord } from "./record.ts";

/** A record for tests that look only at ids, keys and sizes. */
export function record(id: string, key?: string, bytes = 10): EventRecord {
  return {
    topic: "ledger",
    key,
    id,
    source: "/test",
    type: "ledger.placed",
    timeMs: 0,
    contentType: "application/json",
    trace: undefined,
    priority: "default",
    expiresAtMs: undefined,
    notBeforeMs: undefined,
    replyTo: undefined,
    correlationId: undefined,
    headers: {},
    body: new Uint8Array(bytes),
  };
}
