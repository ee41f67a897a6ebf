/**
 * The databases that outboxes, inboxes and process managers live in: the user's own, node:sqlite or PostgreSQL, so that an
 * event and the state that it belongs to are one transaction. Imports `platform`. Start at `transaction.ts`.
 */
export { isSqlite, type PostgresClient, type PostgresPool, type PostgresResult } from "./database.ts";
export { SharedTransaction, type SharedTransactionOptions } from "./shared-transaction.ts";
export { runAfterCommit, type TransactionOptions, transaction } from "./transaction.ts";
export { whenUnused } from "./when-unused.ts";
