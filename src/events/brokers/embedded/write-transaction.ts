import type { DatabaseSync, SQLInputValue, StatementSync } from "node:sqlite";
import { sqliteTransaction } from "../../../platform/index.ts";
import { lagsOf, reassign } from "./group-tables.ts";
import { parkAgain, parkRows } from "./parked-rows.ts";
import { Statements } from "./statements.ts";
import type {
  AppendAnswer,
  AppendWrite,
  BuryWrite,
  CommitWrite,
  DueAnswer,
  HoldWrite,
  JoinWrite,
  PartitionBatch,
  ReplayAnswer,
  TrimWrite,
  Write,
} from "./writes.ts";

type Row = Record<string, SQLInputValue>;

/** Carries out writes on a connection: the same in the thread that writes and without it. */
export class WriteTransaction {
  readonly #database: DatabaseSync;
  readonly #statements: Statements;
  #nowMs = 0;

  constructor(database: DatabaseSync) {
    this.#database = database;
    this.#statements = new Statements(database);
  }

  /** All or none of them. @throws what SQLite says */
  run(writes: readonly Write[], nowMs: number): readonly unknown[] {
    this.#nowMs = Math.floor(nowMs);
    return sqliteTransaction(this.#database, () => writes.map(write => this.#one(write)));
  }

  #one(write: Write): unknown {
    switch (write.kind) {
      case "append":
        return this.#append(write);
      case "topics":
        return this.#topics(write.topics, write.partitions);
      case "removeTopic":
        return this.#removeTopic(write.topic);
      case "join":
        return this.#join(write);
      case "balance":
        return reassign(this.#statements, write, this.#nowMs);
      case "leave":
        return this.#leave(write.group, write.member);
      case "commit":
        return this.#commit(write);
      case "hold":
        return this.#hold(write);
      case "park":
        return parkRows(this.#statements, write);
      case "bury":
        return this.#bury(write);
      case "replay":
        return this.#replay(write.letterId, write.partitionOfKey);
      case "discard":
        return this.#changed("DELETE FROM trunkline_letter WHERE letter_id = ?", write.letterId);
      case "edit":
        return this.#changed(
          "UPDATE trunkline_letter SET record = ? WHERE letter_id = ?",
          write.record,
          write.letterId,
        );
      case "due":
        return this.#due(write.rows);
      case "trim":
        return this.#trim(write);
    }
  }

  #append({ batches, scheduled, logBytesMax }: AppendWrite): AppendAnswer {
    const bytes = Number(this.#get("SELECT coalesce(sum(bytes), 0) AS bytes FROM trunkline_partition")?.["bytes"]);
    if (bytes > logBytesMax) return { appended: [], refused: this.#whyFull(bytes, logBytesMax) };
    const appended = batches.map(batch => this.#appendBatch(batch));
    for (const { topic, partition, dueMs, batch } of scheduled) {
      this.#run(
        "INSERT INTO trunkline_scheduled (due_at, partition_id, record) SELECT ?, id, ? FROM trunkline_partition " +
          "WHERE topic = ? AND partition = ?",
        Math.floor(dueMs),
        batch,
        topic,
        partition,
      );
    }
    return { appended, refused: undefined };
  }

  #whyFull(bytes: number, bytesMax: number): string {
    const [worst] = lagsOf(this.#statements).toSorted((one, other) => other.lag - one.lag);
    const who =
      worst === undefined || worst.lag === 0
        ? "retention has not removed them yet"
        : `group ${worst.group} is ${worst.lag} behind`;
    return `the log has ${bytes} bytes, more than ${bytesMax} (4 times retentionBytes), and ${who}; publish slower, or let it catch up`;
  }

  #appendBatch({ topic, partition, count, batch }: PartitionBatch): AppendAnswer["appended"][number] {
    const row = this.#get(
      "UPDATE trunkline_partition SET next_offset = next_offset + ?, bytes = bytes + ? WHERE topic = ? AND partition = ? " +
        "RETURNING id, next_offset",
      count,
      batch.length,
      topic,
      partition,
    );
    if (row === undefined) throw new Error(`sqlite: there is no partition ${topic}/${partition}`);
    const nextOffset = Number(row["next_offset"]);
    this.#run(
      "INSERT INTO trunkline_log (partition_id, last_offset, stored_at, bytes, batch) VALUES (?, ?, ?, ?, ?)",
      row["id"] as number,
      nextOffset - 1,
      this.#nowMs,
      batch.length,
      batch,
    );
    return { topic, partition, nextOffset };
  }

  #topics(topics: readonly string[], partitions: number): undefined {
    for (const topic of topics) {
      if (this.#get("SELECT 1 FROM trunkline_partition WHERE topic = ?", topic) !== undefined) continue;
      for (let partition = 0; partition < partitions; partition++) {
        this.#run("INSERT INTO trunkline_partition (topic, partition) VALUES (?, ?)", topic, partition);
      }
    }
  }

  #removeTopic(topic: string): undefined {
    for (const table of ["trunkline_log", "trunkline_lane", "trunkline_returned", "trunkline_scheduled"]) {
      this.#run(
        `DELETE FROM ${table} WHERE partition_id IN (SELECT id FROM trunkline_partition WHERE topic = ?)`,
        topic,
      );
    }
    this.#run("DELETE FROM trunkline_partition WHERE topic = ?", topic);
  }

  #join({ group, member, topics, from, leaseMs }: JoinWrite): undefined {
    this.#run(
      "INSERT INTO trunkline_group (name, generation, seen_at) VALUES (?, 1, ?) " +
        "ON CONFLICT (name) DO UPDATE SET generation = generation + 1, seen_at = excluded.seen_at",
      group,
      this.#nowMs,
    );
    for (const topic of topics) {
      this.#run(
        "INSERT OR IGNORE INTO trunkline_lane (group_name, partition_id, next_offset) " +
          "SELECT ?, id, iif(?, next_offset, first_offset) FROM trunkline_partition WHERE topic = ?",
        group,
        from === "now" ? 1 : 0,
        topic,
      );
    }
    this.#run(
      "INSERT INTO trunkline_member (group_name, member, topics, alive_until) VALUES (?, ?, ?, ?)",
      group,
      member,
      JSON.stringify(topics),
      this.#nowMs + leaseMs,
    );
  }

  #leave(group: string, member: string): undefined {
    this.#run("UPDATE trunkline_lane SET owner = NULL WHERE group_name = ? AND owner = ?", group, member);
    this.#run("DELETE FROM trunkline_member WHERE group_name = ? AND member = ?", group, member);
    this.#regroup(group);
  }

  #commit({ group, member, lanes, releases }: CommitWrite): readonly boolean[] {
    const counts = lanes.map(({ topic, partition, epoch, offset, metadata, settledIds, begun, waiting }) => {
      // The fence: a lane that has changed hands since has another epoch, one that was taken away has no owner.
      const isMine = this.#changed(
        "UPDATE trunkline_lane SET next_offset = ?, metadata = ?, owner = iif(?, NULL, owner) " +
          "WHERE group_name = ? AND owner = ? AND epoch = ? " +
          "AND partition_id = (SELECT id FROM trunkline_partition WHERE topic = ? AND partition = ?)",
        offset,
        metadata,
        releases ? 1 : 0,
        group,
        member,
        epoch,
        topic,
        partition,
      );
      if (!isMine) return false;
      for (const [id, attempts] of begun) {
        this.#run("UPDATE trunkline_returned SET attempts = ? WHERE id = ?", attempts, id);
      }
      parkAgain(this.#statements, waiting);
      for (const id of settledIds) this.#run("DELETE FROM trunkline_returned WHERE id = ?", id);
      return true;
    });
    if (releases) this.#regroup(group);
    return counts;
  }

  #hold(write: HoldWrite): undefined {
    this.#run(
      "INSERT INTO trunkline_returned (group_name, partition_id, due_at, attempts, first_failed_at, place_partition, " +
        "place_offset, stored_at, record) SELECT ?, id, ?, ?, ?, ?, ?, ?, ? FROM trunkline_partition " +
        "WHERE topic = ? AND partition = ?",
      write.group,
      Math.floor(write.dueMs),
      write.attempts,
      write.firstFailedAtMs,
      write.partition,
      write.offset,
      write.storedAtMs,
      write.record,
      write.topic,
      write.partition,
    );
  }

  #bury(write: BuryWrite): undefined {
    this.#run(
      "INSERT INTO trunkline_letter (letter_id, group_name, topic, place_partition, place_offset, details, died_at, record) " +
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
      write.letterId,
      write.group,
      write.topic,
      write.partition,
      write.offset,
      write.details,
      this.#nowMs,
      write.record,
    );
  }

  /** Gives a letter back, in the transaction in which it goes. */
  #replay(letterId: string, partitionOfKey: number | undefined): ReplayAnswer | undefined {
    const letter = this.#get("DELETE FROM trunkline_letter WHERE letter_id = ? RETURNING *", letterId);
    if (letter === undefined) return undefined;
    const { group_name: group, topic } = letter as { group_name: string; topic: string };
    const partition = partitionOfKey ?? Number(letter["place_partition"]);
    this.#run(
      "INSERT INTO trunkline_returned (group_name, partition_id, due_at, attempts, place_partition, place_offset, record) " +
        "SELECT ?, id, 0, 0, ?, ?, ? FROM trunkline_partition WHERE topic = ? AND partition = ?",
      group,
      letter["place_partition"] as number,
      letter["place_offset"] as number,
      letter["record"] as Uint8Array,
      topic,
      partition,
    );
    // The member that has the lane may be another process.
    this.#run("UPDATE trunkline_group SET held = held + 1 WHERE name = ?", group);
    return { group, topic, partition };
  }

  #due(rows: number): DueAnswer {
    const due = this.#all(
      "SELECT s.id, s.record, p.topic, p.partition FROM trunkline_scheduled s JOIN trunkline_partition p " +
        "ON p.id = s.partition_id WHERE s.due_at <= ? ORDER BY s.due_at, s.id LIMIT ?",
      this.#nowMs,
      rows,
    );
    const appended = due.map(({ id, record, topic, partition }) => {
      this.#run("DELETE FROM trunkline_scheduled WHERE id = ?", id as number);
      const batch = record as Uint8Array;
      return this.#appendBatch({ topic: topic as string, partition: partition as number, count: 1, batch });
    });
    return { appended, hasMore: due.length === rows };
  }

  /** Removes the oldest batches that are too old or too many, as long as every group has settled them. */
  #trim({ olderThanMs, bytesMax, groupsSeenSinceMs, rows }: TrimWrite): { readonly rows: number } {
    const bytes = Number(this.#get("SELECT coalesce(sum(bytes), 0) AS bytes FROM trunkline_partition")?.["bytes"]);
    let excess = bytes - bytesMax;
    const ends = this.#all(
      "SELECT p.id, coalesce((SELECT min(l.next_offset) FROM trunkline_lane l JOIN trunkline_group g ON g.name = l.group_name " +
        "WHERE l.partition_id = p.id AND g.seen_at >= ?), p.next_offset) AS settled_end FROM trunkline_partition p WHERE p.bytes > 0",
      groupsSeenSinceMs,
    );
    const oldest = ends.flatMap(({ id, settled_end }) =>
      this.#all(
        "SELECT id, partition_id, last_offset, bytes, stored_at FROM trunkline_log WHERE partition_id = ? AND last_offset < ? " +
          "ORDER BY last_offset LIMIT ?",
        id as number,
        settled_end as number,
        Math.ceil((2 * rows) / ends.length),
      ),
    );
    oldest.sort((one, other) => Number(one["id"]) - Number(other["id"]));
    let removed = 0;
    for (const { id, partition_id, last_offset, bytes: size, stored_at } of oldest.slice(0, rows)) {
      if (Number(stored_at) >= olderThanMs && excess <= 0) break;
      excess -= Number(size);
      removed++;
      this.#run("DELETE FROM trunkline_log WHERE id = ?", id as number);
      this.#run(
        "UPDATE trunkline_partition SET first_offset = max(first_offset, ?), bytes = bytes - ? WHERE id = ?",
        Number(last_offset) + 1,
        size as number,
        partition_id as number,
      );
    }
    return { rows: removed };
  }

  #regroup(group: string): void {
    this.#run("UPDATE trunkline_group SET generation = generation + 1 WHERE name = ?", group);
  }

  #statement(sql: string): StatementSync {
    return this.#statements.get(sql);
  }

  #get(sql: string, ...values: SQLInputValue[]): Row | undefined {
    return this.#statement(sql).get(...values) as Row | undefined;
  }

  #all(sql: string, ...values: SQLInputValue[]): readonly Row[] {
    return this.#statement(sql).all(...values) as Row[];
  }

  #run(sql: string, ...values: SQLInputValue[]): void {
    this.#statement(sql).run(...values);
  }

  #changed(sql: string, ...values: SQLInputValue[]): boolean {
    return Number(this.#statement(sql).run(...values).changes) > 0;
  }
}
