import type { PostgresClient, PostgresPool } from "../database/index.ts";
import { transaction } from "../database/index.ts";
import type { EventRecord } from "../record.ts";
import {
  attributesText,
  bucketCount,
  bucketOf,
  fairShare,
  type Lease,
  type OutboxCounts,
  type OutboxRow,
  type OutboxStore,
  type ParkedRow,
  recordOf,
  rowState,
  type SentRow,
} from "./store.ts";

/** Grows with every change of the tables. */
const version = 1;

const { unsent, sent, scheduled, parked, held, skipped } = rowState;

/** Of rows that stand aside: the condition of their index. */
const isAside = `state IN (${parked}, ${held}, ${skipped})`;

/** A parked row of the key of `later` that comes before it. */
const parkedBefore =
  `SELECT 1 FROM trunkline_outbox AS first WHERE first.state IN (${parked}, ${held}, ${skipped}) ` +
  `AND first.state = ${parked} AND first.topic = later.topic AND first.key = later.key ` +
  "AND first.sequence < later.sequence";

/** `fillfactor` and few indexes: every row is updated once. */
const tables = `
  CREATE TABLE trunkline_outbox (
    sequence bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    bucket smallint NOT NULL,
    state smallint NOT NULL,
    topic text NOT NULL,
    key text,
    attributes text NOT NULL,
    body bytea NOT NULL,
    created_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    due_at timestamptz,
    sent_at timestamptz,
    problem text
  );
  CREATE INDEX trunkline_outbox_unsent ON trunkline_outbox (sequence) WHERE state = ${unsent};
  CREATE INDEX trunkline_outbox_due ON trunkline_outbox (due_at) WHERE state = ${scheduled};
  CREATE INDEX trunkline_outbox_aside ON trunkline_outbox (topic, key, sequence) WHERE state IN (${parked}, ${held}, ${skipped});
  CREATE INDEX trunkline_outbox_sent ON trunkline_outbox (sent_at) WHERE state = ${sent};
  CREATE TABLE trunkline_outbox_lease (
    bucket smallint PRIMARY KEY,
    owner text,
    fence bigint NOT NULL,
    until timestamptz NOT NULL
  );
  INSERT INTO trunkline_outbox_lease SELECT bucket, NULL, 0, '-infinity' FROM generate_series(0, ${bucketCount - 1}) AS bucket;
  CREATE TABLE trunkline_outbox_relay (owner text PRIMARY KEY, until timestamptz NOT NULL);
  CREATE TABLE trunkline_outbox_version (version integer NOT NULL);
  INSERT INTO trunkline_outbox_version VALUES (${version});
`;

/** Of processes that make the tables at the same time: any number that nobody else locks. */
const migrationLock = 0x74726b6c;

const channel = "trunkline_outbox";

interface Row {
  readonly sequence: string;
  readonly bucket: number;
  readonly topic: string;
  readonly key: string | null;
  readonly attributes: string;
  readonly body: Uint8Array;
  readonly problem: string | null;
}

/**
 * An outbox in PostgreSQL. Leases are judged by the database's clock, because the clocks of relays differ. There is no
 * cursor over `sequence`: numbers commit out of order, and one that commits late would be passed over; the partial index on
 * unsent rows finds them all.
 */
export class PostgresOutboxStore implements OutboxStore<PostgresClient> {
  readonly #pool: PostgresPool;

  constructor(pool: PostgresPool) {
    this.#pool = pool;
  }

  async open(): Promise<void> {
    await transaction(this.#pool, async tx => {
      await tx.query("SELECT pg_advisory_xact_lock($1)", [migrationLock]);
      const { rows } = await tx.query("SELECT to_regclass('trunkline_outbox_version') IS NOT NULL AS exists");
      if (rows[0]?.["exists"] !== true) await tx.query(tables);
      const found = await tx.query("SELECT version FROM trunkline_outbox_version");
      if (found.rows[0]?.["version"] !== version) {
        throw new Error(
          `the outbox has tables of version ${found.rows[0]?.["version"]}, this package knows ${version}: use a newer trunkline`,
        );
      }
    });
  }

  async insert(tx: PostgresClient, records: readonly EventRecord[]): Promise<void> {
    const [first] = records;
    if (first === undefined) return;
    if (records.length === 1 && first.notBeforeMs === undefined) {
      // The usual transaction has one event: a plain statement takes the database a third of the time.
      const { topic, key, body } = first;
      await tx.query(
        "INSERT INTO trunkline_outbox (bucket, topic, key, attributes, body, state) VALUES ($1, $2, $3, $4, $5, $6)",
        [bucketOf(first), topic, key ?? null, attributesText(first), body, unsent],
      );
      return;
    }
    // One statement, whose rows get their numbers in their order.
    await tx.query(
      "INSERT INTO trunkline_outbox (bucket, topic, key, attributes, body, due_at, state) " +
        "SELECT bucket, topic, key, attributes, body, due, " +
        "CASE WHEN due > clock_timestamp() THEN $7::smallint ELSE $8::smallint END " +
        "FROM (SELECT *, to_timestamp(due_ms / 1000) AS due FROM unnest(" +
        "$1::smallint[], $2::text[], $3::text[], $4::text[], $5::bytea[], $6::double precision[]) " +
        "WITH ORDINALITY AS given (bucket, topic, key, attributes, body, due_ms, position)) AS rows ORDER BY position",
      [
        records.map(bucketOf),
        records.map(({ topic }) => topic),
        records.map(({ key }) => key ?? null),
        records.map(attributesText),
        records.map(({ body }) => body),
        records.map(({ notBeforeMs }) => notBeforeMs ?? null),
        scheduled,
        unsent,
      ],
    );
  }

  lease(owner: string, leaseMs: number, keepAll: boolean): Promise<readonly Lease[]> {
    return transaction(this.#pool, async tx => {
      const seconds = leaseMs / 1000;
      await tx.query(
        "UPDATE trunkline_outbox_lease SET until = clock_timestamp() + make_interval(secs => $2) " +
          "WHERE owner = $1 AND until > clock_timestamp()",
        [owner, seconds],
      );
      await tx.query(
        "INSERT INTO trunkline_outbox_relay VALUES ($1, clock_timestamp() + make_interval(secs => $2)) " +
          "ON CONFLICT (owner) DO UPDATE SET until = excluded.until",
        [owner, seconds],
      );
      if (!keepAll) {
        const others = await tx.query(
          "SELECT count(*)::int AS count FROM trunkline_outbox_relay WHERE owner <> $1 AND until > clock_timestamp()",
          [owner],
        );
        await tx.query(
          "DELETE FROM trunkline_outbox_relay WHERE owner IN " +
            "(SELECT owner FROM trunkline_outbox_relay WHERE until <= clock_timestamp() FOR UPDATE SKIP LOCKED)",
        );
        const share = fairShare(Number(others.rows[0]?.["count"]));
        const mine = await leasesOf(tx, owner);
        if (mine.length > share) {
          await tx.query(
            "UPDATE trunkline_outbox_lease SET owner = NULL, until = '-infinity' WHERE bucket = ANY($1) AND owner = $2",
            [mine.slice(share).map(({ bucket }) => bucket), owner],
          );
        } else if (mine.length < share) {
          await tx.query(
            "UPDATE trunkline_outbox_lease SET owner = $1, until = clock_timestamp() + make_interval(secs => $2), " +
              "fence = fence + 1 WHERE bucket IN (SELECT bucket FROM trunkline_outbox_lease " +
              "WHERE until <= clock_timestamp() ORDER BY bucket LIMIT $3 FOR UPDATE SKIP LOCKED)",
            [owner, seconds, share - mine.length],
          );
        }
      }
      return leasesOf(tx, owner);
    });
  }

  async release(owner: string): Promise<void> {
    await this.#pool.query("UPDATE trunkline_outbox_lease SET owner = NULL, until = '-infinity' WHERE owner = $1", [
      owner,
    ]);
    await this.#pool.query("DELETE FROM trunkline_outbox_relay WHERE owner = $1", [owner]);
  }

  async wakeScheduled(): Promise<number | undefined> {
    const { rows } = await this.#pool.query(
      `WITH woken AS (UPDATE trunkline_outbox SET state = ${unsent} ` +
        `WHERE state = ${scheduled} AND due_at <= clock_timestamp()) ` +
        "SELECT (extract(epoch FROM min(due_at) - clock_timestamp()) * 1000)::double precision AS ms " +
        `FROM trunkline_outbox WHERE state = ${scheduled} AND due_at > clock_timestamp()`,
    );
    const ms = rows[0]?.["ms"];
    return typeof ms === "number" ? Math.max(0, ms) : undefined;
  }

  async unsent(
    leases: readonly Lease[],
    rowsMax: number,
    bytesMax: number,
    hasParked: boolean,
  ): Promise<readonly OutboxRow[]> {
    if (leases.length === 0) return [];
    const byBucket = new Map(leases.map(lease => [lease.bucket, lease]));
    // The sum is cut in the database, so that large bodies do not come only to be dropped.
    const { rows } = await this.#pool.query(
      "SELECT sequence, bucket, topic, key, attributes, body FROM (" +
        "SELECT *, sum(length(body)) OVER (ORDER BY sequence) - length(body) AS before FROM (" +
        `SELECT sequence, bucket, topic, key, attributes, body FROM trunkline_outbox AS later WHERE state = ${unsent} ` +
        (hasParked ? `AND NOT EXISTS (${parkedBefore}) ` : "") +
        "AND bucket = ANY($1) ORDER BY sequence LIMIT $2) AS oldest) AS summed WHERE before < $3 ORDER BY sequence",
      [[...byBucket.keys()], rowsMax, bytesMax],
    );
    return (rows as unknown as Row[]).map(row => ({
      sequence: Number(row.sequence),
      lease: byBucket.get(row.bucket) as Lease, // asked for
      record: recordOf(row),
    }));
  }

  async holdBack(): Promise<boolean> {
    const { rows } = await this.#pool.query(
      `SELECT 1 FROM trunkline_outbox WHERE ${isAside} AND state = ${parked} LIMIT 1`,
    );
    if (rows.length === 0) return false;
    await this.#pool.query(
      `UPDATE trunkline_outbox AS later SET state = ${held} WHERE state = ${unsent} AND EXISTS (${parkedBefore})`,
    );
    return true;
  }

  async markSent(rows: readonly SentRow[]): Promise<number> {
    const { rowCount } = await this.#pool.query(
      `UPDATE trunkline_outbox AS row SET state = ${sent}, sent_at = clock_timestamp() ` +
        "FROM unnest($1::bigint[], $2::smallint[], $3::bigint[]) AS done (sequence, bucket, fence) " +
        "JOIN trunkline_outbox_lease AS lease ON lease.bucket = done.bucket AND lease.fence = done.fence " +
        "WHERE row.sequence = done.sequence",
      [rows.map(row => row.sequence), rows.map(row => row.lease.bucket), rows.map(row => row.lease.fence)],
    );
    return rowCount ?? 0;
  }

  async park({ sequence, lease }: SentRow, reason: string, holdKey: boolean): Promise<void> {
    await this.#pool.query(
      "UPDATE trunkline_outbox AS row SET state = $5, problem = $2 FROM trunkline_outbox_lease AS lease " +
        "WHERE row.sequence = $1 AND lease.bucket = $3 AND lease.fence = $4",
      [sequence, reason, lease.bucket, lease.fence, holdKey ? parked : skipped],
    );
  }

  async cleanUp(keepMs: number, rowsMax: number): Promise<number> {
    const { rowCount } = await this.#pool.query(
      "DELETE FROM trunkline_outbox WHERE sequence IN (SELECT sequence FROM trunkline_outbox " +
        `WHERE state = ${sent} AND sent_at <= clock_timestamp() - make_interval(secs => $1) ` +
        "ORDER BY sent_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
      [keepMs / 1000, rowsMax],
    );
    return rowCount ?? 0;
  }

  async counts(): Promise<OutboxCounts> {
    const { rows } = await this.#pool.query(
      `SELECT count(*) FILTER (WHERE state = ${unsent})::int AS unsent, ` +
        `count(*) FILTER (WHERE state = ${scheduled})::int AS scheduled, ` +
        `count(*) FILTER (WHERE state IN (${parked}, ${skipped}))::int AS parked, count(*) FILTER (WHERE state = ${held})::int AS held, ` +
        `(extract(epoch FROM clock_timestamp() - min(created_at) FILTER (WHERE state = ${unsent})) * 1000)` +
        `::double precision AS age FROM trunkline_outbox WHERE state <> ${sent}`,
    );
    const { age, ...counts } = rows[0] as Record<"unsent" | "scheduled" | "parked" | "held", number> & { age: unknown };
    return { ...counts, oldestAgeMs: typeof age === "number" ? Math.max(0, age) : undefined };
  }

  async parked(rowsMax: number): Promise<readonly ParkedRow[]> {
    const { rows } = await this.#pool.query(
      "SELECT sequence, topic, key, attributes, body, problem FROM trunkline_outbox " +
        `WHERE state IN (${parked}, ${skipped}) ORDER BY sequence LIMIT $1`,
      [rowsMax],
    );
    return (rows as unknown as Row[]).map(row => ({
      sequence: Number(row.sequence),
      reason: row.problem ?? "",
      record: recordOf(row),
    }));
  }

  settleParked(sequence: number, how: "retry" | "discard"): Promise<boolean> {
    return transaction(this.#pool, async tx => {
      const settle =
        how === "retry"
          ? `UPDATE trunkline_outbox SET state = ${unsent}, problem = NULL WHERE sequence = $1 AND state IN (${parked}, ${skipped}) RETURNING topic, key`
          : `DELETE FROM trunkline_outbox WHERE sequence = $1 AND state IN (${parked}, ${skipped}) RETURNING topic, key`;
      const { rows } = await tx.query(settle, [sequence]);
      const row = rows[0];
      if (row === undefined) return false;
      await tx.query(
        `UPDATE trunkline_outbox SET state = ${unsent} WHERE state = ${held} AND topic = $1 AND key = $2 AND sequence > $3`,
        [row["topic"], row["key"], sequence],
      );
      return true;
    });
  }

  /** On a connection of its own, as LISTEN needs it. */
  async listen(wake: () => void, lost: (error: Error) => void): Promise<() => void> {
    const client = await this.#pool.connect();
    let isOver = false;
    /** A connection that has listened is not given to others. */
    const end = () => {
      if (isOver) return;
      isOver = true;
      client.removeListener("notification", wake);
      client.release(true);
    };
    const fail = (error?: Error) => {
      if (isOver) return;
      end();
      lost(error ?? new Error("the connection that listened has ended"));
    };
    client.on("notification", wake);
    // Stays: a connection that is being ended may fail once more.
    client.on("error", fail);
    client.on("end", () => fail());
    try {
      await client.query(`LISTEN ${channel}`);
    } catch (error) {
      end();
      throw error;
    }
    return end;
  }

  async notify(): Promise<void> {
    await this.#pool.query(`NOTIFY ${channel}`);
  }

  /** A client of a transaction cannot be asked. */
  isOpen(): boolean {
    return false;
  }
}

/** What `owner` holds. */
async function leasesOf(tx: PostgresClient, owner: string): Promise<readonly Lease[]> {
  const { rows } = await tx.query(
    "SELECT bucket, fence FROM trunkline_outbox_lease WHERE owner = $1 AND until > clock_timestamp() ORDER BY bucket",
    [owner],
  );
  return rows.map(row => ({ bucket: Number(row["bucket"]), fence: Number(row["fence"]) }));
}
