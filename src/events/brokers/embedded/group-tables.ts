import { assignLanes, type Balance, type GrantedLane, type HeldLane } from "../../log/index.ts";
import type { Statements } from "./statements.ts";
import type { BalanceWrite } from "./writes.ts";

interface LaneRow {
  readonly partition_id: number;
  readonly topic: string;
  readonly partition: number;
  readonly next_offset: number;
  readonly metadata: string;
  readonly epoch: number;
  readonly owner: string | null;
}

/**
 * A member shows itself and gets its share. Every member works out the same shares from the same rows, so that nobody leads:
 * it takes the lanes of its share that have no owner, and is told which of its own others should have.
 */
export function reassign(statements: Statements, write: BalanceWrite, nowMs: number): Balance {
  const { group, member } = write;
  const hadExpired = expire(statements, group, nowMs);
  const isNew = show(statements, write, nowMs);
  if (hadExpired || isNew) {
    statements.get("UPDATE trunkline_group SET generation = generation + 1 WHERE name = ?").run(group);
  }
  const rows = lanesOf(statements, group);
  const target = assignLanes(
    rows.map(({ topic, partition, owner }) => ({ lane: `${topic}/${partition}`, topic, owner: owner ?? undefined })),
    membersOf(statements, group),
  );
  const held = new Map(write.held.map(lane => [`${lane.topic}/${lane.partition}`, lane]));
  const [granted, surplus, lost]: [GrantedLane[], HeldLane[], HeldLane[]] = [[], [], []];
  for (const row of rows) {
    const name = `${row.topic}/${row.partition}`;
    const mine = held.get(name);
    const isTarget = target.get(name) === member;
    const isStillMine = mine !== undefined && row.owner === member && row.epoch === mine.epoch;
    if (mine !== undefined && !isStillMine) lost.push(mine);
    if (isStillMine && !isTarget) surplus.push(mine);
    // One that is mine and that I do not know of: the answer that said so was lost.
    const isFree = row.owner === null || (row.owner === member && mine === undefined);
    if (isFree && isTarget && write.accepts) granted.push(grant(statements, write, row));
  }
  return { granted, surplus, lost };
}

function grant(statements: Statements, { group, member }: BalanceWrite, row: LaneRow): GrantedLane {
  const epoch = row.epoch + 1;
  statements
    .get("UPDATE trunkline_lane SET owner = ?, epoch = ? WHERE group_name = ? AND partition_id = ?")
    .run(member, epoch, group, row.partition_id);
  return { topic: row.topic, partition: row.partition, epoch, offset: row.next_offset, metadata: row.metadata };
}

/** Members whose lease has run out are gone, and their lanes have no owner. */
function expire(statements: Statements, group: string, nowMs: number): boolean {
  const gone = statements
    .get("DELETE FROM trunkline_member WHERE group_name = ? AND alive_until < ?")
    .run(group, nowMs);
  if (Number(gone.changes) === 0) return false;
  statements
    .get(
      "UPDATE trunkline_lane SET owner = NULL WHERE group_name = ?1 AND owner NOT IN " +
        "(SELECT member FROM trunkline_member WHERE group_name = ?1)",
    )
    .run(group);
  return true;
}

/** @returns whether the others had not counted on this member */
function show(statements: Statements, { group, member, topics, leaseMs }: BalanceWrite, nowMs: number): boolean {
  statements.get("UPDATE trunkline_group SET seen_at = ? WHERE name = ?").run(nowMs, group);
  const renewed = statements
    .get("UPDATE trunkline_member SET alive_until = ? WHERE group_name = ? AND member = ?")
    .run(nowMs + leaseMs, group, member);
  if (Number(renewed.changes) > 0) return false;
  statements
    .get("INSERT INTO trunkline_member (group_name, member, topics, alive_until) VALUES (?, ?, ?, ?)")
    .run(group, member, JSON.stringify(topics), nowMs + leaseMs);
  return true;
}

function lanesOf(statements: Statements, group: string): readonly LaneRow[] {
  return statements
    .get(
      "SELECT l.partition_id, p.topic, p.partition, l.next_offset, l.metadata, l.epoch, l.owner FROM trunkline_lane l " +
        "JOIN trunkline_partition p ON p.id = l.partition_id WHERE l.group_name = ?",
    )
    .all(group) as unknown as LaneRow[];
}

function membersOf(statements: Statements, group: string) {
  return statements
    .get("SELECT member, topics FROM trunkline_member WHERE group_name = ?")
    .all(group)
    .map(row => ({
      member: row["member"] as string,
      topics: new Set(JSON.parse(row["topics"] as string) as readonly string[]),
    }));
}

/** How far each group is behind, over all its lanes. */
export function lagsOf(statements: Statements): readonly { readonly group: string; readonly lag: number }[] {
  return statements
    .get(
      "SELECT l.group_name, sum(max(p.next_offset - l.next_offset, 0)) AS lag FROM trunkline_lane l " +
        "JOIN trunkline_partition p ON p.id = l.partition_id GROUP BY l.group_name",
    )
    .all()
    .map(row => ({ group: row["group_name"] as string, lag: Number(row["lag"]) }));
}
