/**
 * Outboxes: events as rows of the user's transaction, and a relay that sends them. Imports `platform`, the model of events
 * and `database`. Start at `outbox.ts`, then `relay.ts` and `store.ts`: what a database has to do.
 */
export type { OutboxEvent } from "./events.ts";
export { type Outbox, type OutboxOptions, outbox } from "./outbox.ts";
export type { OutboxCounts, ParkedRow } from "./store.ts";
