/**
 * Inboxes: a handler's effect and the note that it was done, in one transaction of the user's database, so that a
 * redelivered event changes nothing. Imports `platform`, the model of events and `database`. Start at `inbox.ts`.
 */
export { type InboxOptions, inbox } from "./inbox.ts";
export type { Inbox, InboxSource } from "./inbox-model.ts";
