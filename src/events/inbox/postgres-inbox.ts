import type { Platform } from "../../platform/index.ts";
import { type PostgresClient, type PostgresPool, transaction } from "../database/index.ts";
import { firstIndices, type Inbox, type InboxSource, messageKey } from "./inbox-model.ts";
import { cleanUpMs, cleanUpRowsMax } from "./limits.ts";

const table = `
  CREATE TABLE IF NOT EXISTS trunkline_inbox_v1 (
    consumer text NOT NULL,
    message text NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (consumer, message)
  );
  CREATE INDEX IF NOT EXISTS trunkline_inbox_v1_age ON trunkline_inbox_v1 (seen_at);
`;

/** IF NOT EXISTS does not exclude others who do the same: any number that nobody else locks. */
const migrationLock = 0x74726b69;

/**
 * An inbox in PostgreSQL. The second of two deliveries at the same time waits for the transaction of the first: when that
 * commits it is a duplicate, when it is rolled back its own work runs.
 */
export class PostgresInbox implements Inbox<PostgresClient> {
  readonly #pool: PostgresPool;
  readonly #group: string;
  readonly #keepMs: number;
  readonly #platform: Platform;
  #cleanedAtMs: number;

  constructor(pool: PostgresPool, group: string, keepMs: number, platform: Platform) {
    this.#pool = pool;
    this.#group = group;
    this.#keepMs = keepMs;
    this.#platform = platform;
    this.#cleanedAtMs = platform.clock.now();
  }

  open(): Promise<void> {
    return transaction(this.#pool, async tx => {
      await tx.query("SELECT pg_advisory_xact_lock($1)", [migrationLock]);
      await tx.query(table);
    });
  }

  async run<T>(delivery: InboxSource, work: (tx: PostgresClient) => T): Promise<Awaited<T> | undefined> {
    const result = await transaction(this.#pool, async tx => {
      const { rowCount } = await tx.query(
        "INSERT INTO trunkline_inbox_v1 (consumer, message) VALUES ($1, $2) ON CONFLICT DO NOTHING",
        [this.#group, messageKey(delivery)],
      );
      return rowCount === 0 ? undefined : await work(tx);
    });
    this.#cleanUp();
    return result;
  }

  async runBatch<T>(
    deliveries: readonly InboxSource[],
    work: (tx: PostgresClient, fresh: readonly number[]) => T,
  ): Promise<Awaited<T> | undefined> {
    const indices = firstIndices(deliveries);
    if (indices.size === 0) return undefined;
    const result = await transaction(this.#pool, async tx => {
      // In one order everywhere, so that two batches with the same events wait for each other and not in a circle.
      const { rows } = await tx.query(
        "INSERT INTO trunkline_inbox_v1 (consumer, message) " +
          "SELECT $1, message FROM unnest($2::text[]) AS message ORDER BY message ON CONFLICT DO NOTHING RETURNING message",
        [this.#group, [...indices.keys()]],
      );
      const fresh = rows.map(({ message }) => indices.get(message as string) as number);
      return fresh.length === 0 ? undefined : await work(tx, ascending(fresh));
    });
    this.#cleanUp();
    return result;
  }

  /** Beside the handlers; what fails now is done a minute later. */
  #cleanUp(): void {
    const now = this.#platform.clock.now();
    if (now - this.#cleanedAtMs < cleanUpMs) return;
    this.#cleanedAtMs = now;
    this.#pool
      .query(
        "DELETE FROM trunkline_inbox_v1 WHERE ctid = ANY (ARRAY(SELECT ctid FROM trunkline_inbox_v1 " +
          "WHERE seen_at <= clock_timestamp() - make_interval(secs => $1) LIMIT $2 FOR UPDATE SKIP LOCKED))",
        [this.#keepMs / 1000, cleanUpRowsMax],
      )
      .catch(() => {});
  }
}

function ascending(numbers: readonly number[]): readonly number[] {
  return numbers.toSorted((one, other) => one - other);
}
