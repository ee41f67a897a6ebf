import { LogRecord, type ParkedRow } from "../../log/index.ts";
import { type CodedRecord, decodeBatch } from "./batch-codec.ts";
import type { Statements } from "./statements.ts";
import type { CommitLane, ParkWrite } from "./writes.ts";

// Parked records are rows of `trunkline_returned` with a key that they wait in line for. They share its numbers, so that
// commits settle them in the same way.

/** @returns the numbers of the rows; `undefined` when the lane belongs to somebody else by now */
export function parkRows(statements: Statements, { group, member, lane, rows }: ParkWrite): number[] | undefined {
  const owned = statements
    .get(
      "SELECT l.partition_id AS id FROM trunkline_lane l JOIN trunkline_partition p ON p.id = l.partition_id " +
        "WHERE l.group_name = ? AND l.owner = ? AND l.epoch = ? AND p.topic = ? AND p.partition = ?",
    )
    .get(group, member, lane.epoch, lane.topic, lane.partition);
  if (owned === undefined) return undefined;
  const insert = statements.get(
    "INSERT INTO trunkline_returned (group_name, partition_id, due_at, attempts, first_failed_at, place_partition, " +
      "place_offset, stored_at, record, parked_key, parked_position) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
  );
  return rows.map(row => {
    const { lastInsertRowid } = insert.run(
      group,
      owned["id"] as number,
      Math.ceil(row.dueMs),
      row.attempts,
      row.firstFailedAtMs,
      row.partition,
      row.offset,
      row.storedAtMs,
      row.record,
      row.key,
      row.position,
    );
    return Number(lastInsertRowid);
  });
}

/** Parked records that were tried again and wait on. */
export function parkAgain(statements: Statements, waiting: CommitLane["waiting"]): void {
  const update = "UPDATE trunkline_returned SET due_at = ?, attempts = ?, first_failed_at = ? WHERE id = ?";
  for (const [id, dueMs, attempts, firstFailedAtMs] of waiting) {
    statements.get(update).run(Math.ceil(dueMs), attempts, firstFailedAtMs, id);
  }
}

export function parkedRows(statements: Statements, group: string, partitionId: number): readonly ParkedRow[] {
  return statements
    .get(
      "SELECT id, parked_key, parked_position, due_at FROM trunkline_returned " +
        "WHERE group_name = ? AND partition_id = ? AND parked_key IS NOT NULL ORDER BY id",
    )
    .all(group, partitionId)
    .map(row => ({
      id: Number(row["id"]),
      key: row["parked_key"] as string,
      position: row["parked_position"] === null ? undefined : Number(row["parked_position"]),
      dueMs: Number(row["due_at"]),
    }));
}

/** A record that waits beside the log; `undefined`: it does not any more. */
export function returnedRecord(statements: Statements, topic: string, id: number): LogRecord | undefined {
  const row = statements.get("SELECT * FROM trunkline_returned WHERE id = ?").get(id);
  if (row === undefined) return undefined;
  const [coded] = decodeBatch(row["record"] as Uint8Array) as [CodedRecord];
  const firstFailedAtMs = row["first_failed_at"] === null ? undefined : Number(row["first_failed_at"]);
  return new LogRecord(
    topic,
    Number(row["place_partition"]),
    Number(row["place_offset"]),
    coded.key,
    coded.attributes,
    coded.body,
    row["stored_at"] === null ? undefined : Number(row["stored_at"]),
    { attempts: Number(row["attempts"]), firstFailedAtMs },
    id,
  );
}
