import { type PostgresClient, type PostgresPool, transaction } from "../database/index.ts";
import type { Inbox, InboxSource } from "../inbox/index.ts";
import type { Outbox } from "../outbox/index.ts";
import { Conflict, type InstanceRow, type ProcessStore, type Worked } from "./store.ts";

const table = `
  CREATE TABLE IF NOT EXISTS trunkline_process_v1 (
    process text NOT NULL,
    instance text NOT NULL,
    version bigint NOT NULL,
    state text NOT NULL,
    timeouts text NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    completed_at timestamptz,
    PRIMARY KEY (process, instance)
  );
  CREATE INDEX IF NOT EXISTS trunkline_process_v1_completed ON trunkline_process_v1 (process, completed_at)
    WHERE completed_at IS NOT NULL;
`;

/** IF NOT EXISTS does not exclude others who do the same: any number that nobody else locks. */
const migrationLock = 0x74726b70;

/**
 * Instances in PostgreSQL. Nothing is locked between reading an instance and writing it: the version tells whether somebody came
 * between, who then has won.
 */
export class PostgresProcessStore implements ProcessStore {
  readonly #process: string;
  readonly #pool: PostgresPool;
  readonly #inbox: Inbox<PostgresClient>;
  readonly #outbox: Pick<Outbox<PostgresClient, Promise<void>>, "publish">;

  constructor(
    process: string,
    pool: PostgresPool,
    inbox: Inbox<PostgresClient>,
    outbox: Pick<Outbox<PostgresClient, Promise<void>>, "publish">,
  ) {
    this.#process = process;
    this.#pool = pool;
    this.#inbox = inbox;
    this.#outbox = outbox;
  }

  open(): Promise<void> {
    return transaction(this.#pool, async tx => {
      await tx.query("SELECT pg_advisory_xact_lock($1)", [migrationLock]);
      await tx.query(table);
    });
  }

  run<T extends object>(
    delivery: InboxSource,
    instance: string,
    work: (row: InstanceRow | undefined) => Worked<T>,
  ): Promise<T | undefined> {
    return this.#inbox.run<Promise<T>>(delivery, async tx => {
      const before = await this.#read(tx, instance);
      const { change, result } = work(before);
      if (change !== undefined) {
        await this.#write(tx, instance, before, change.row);
        for (const { schema, event, options } of change.events) {
          await this.#outbox.publish(tx, schema, event, options);
        }
      }
      return result;
    });
  }

  find(instance: string): Promise<InstanceRow | undefined> {
    return this.#read(this.#pool, instance);
  }

  async cleanUp(keepMs: number, rowsMax: number): Promise<void> {
    await this.#pool.query(
      "DELETE FROM trunkline_process_v1 WHERE ctid = ANY (ARRAY(SELECT ctid FROM trunkline_process_v1 WHERE process = $1 " +
        "AND completed_at <= clock_timestamp() - make_interval(secs => $2) LIMIT $3 FOR UPDATE SKIP LOCKED))",
      [this.#process, keepMs / 1000, rowsMax],
    );
  }

  async #read(on: Pick<PostgresPool, "query">, instance: string): Promise<InstanceRow | undefined> {
    const { rows } = await on.query(
      "SELECT version, state, timeouts, completed_at IS NOT NULL AS completed FROM trunkline_process_v1 " +
        "WHERE process = $1 AND instance = $2",
      [this.#process, instance],
    );
    const row = rows[0];
    if (row === undefined) return undefined;
    return {
      version: Number(row["version"]),
      state: String(row["state"]),
      timeouts: String(row["timeouts"]),
      isCompleted: row["completed"] === true,
    };
  }

  async #write(tx: PostgresClient, instance: string, before: InstanceRow | undefined, row: InstanceRow): Promise<void> {
    const { version, state, timeouts, isCompleted } = row;
    const completedAt = "CASE WHEN $6::boolean THEN clock_timestamp() END";
    const values = [this.#process, instance, version, state, timeouts, isCompleted];
    const { rowCount } =
      before === undefined
        ? await tx.query(
            "INSERT INTO trunkline_process_v1 (process, instance, version, state, timeouts, completed_at) " +
              `VALUES ($1, $2, $3, $4, $5, ${completedAt}) ON CONFLICT DO NOTHING`,
            values,
          )
        : await tx.query(
            "UPDATE trunkline_process_v1 SET version = $3, state = $4, timeouts = $5, changed_at = clock_timestamp(), " +
              `completed_at = ${completedAt} WHERE process = $1 AND instance = $2 AND version = $7`,
            [...values, before.version],
          );
    if (rowCount === 0) throw new Conflict(this.#process, instance);
  }
}
