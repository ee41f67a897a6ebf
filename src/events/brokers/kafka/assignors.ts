import type { Assignment, JoinedMember } from "./wire.ts";

/** Shares partitions out among the members of a group, as the Java client's class of the same name does. */
export type Assignor = (
  members: readonly JoinedMember[],
  partitions: ReadonlyMap<string, number>,
) => ReadonlyMap<string, Assignment>;

/** In the order of our preference. Programs in other languages know at least one of them. */
export const assignors: Readonly<Record<string, Assignor>> = { range, roundrobin };

/** `RangeAssignor`: each topic by itself, a run of consecutive partitions for each member. */
function range(
  members: readonly JoinedMember[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  const shares = emptyShares(members);
  const sorted = members.toSorted(byIdentity);
  for (const topic of [...partitions.keys()].sort()) {
    const count = partitions.get(topic) as number;
    const takers = sorted.filter(({ topics }) => topics.includes(topic));
    let next = 0;
    takers.forEach(({ memberId }, index) => {
      const share = Math.floor(count / takers.length) + (index < count % takers.length ? 1 : 0);
      for (let left = share; left > 0; left--) give(shares, memberId, topic, next++);
    });
  }
  return shares;
}

/** `RoundRobinAssignor`: the partitions of all topics in turn; a member that does not want a topic is passed over. */
function roundrobin(
  members: readonly JoinedMember[],
  partitions: ReadonlyMap<string, number>,
): ReadonlyMap<string, Assignment> {
  const shares = emptyShares(members);
  const sorted = members.toSorted(byIdentity);
  let turn = 0;
  for (const topic of [...partitions.keys()].sort()) {
    if (!sorted.some(({ topics }) => topics.includes(topic))) continue;
    for (let partition = 0; partition < (partitions.get(topic) as number); partition++) {
      while (!(sorted[turn % sorted.length] as JoinedMember).topics.includes(topic)) turn++;
      give(shares, (sorted[turn++ % sorted.length] as JoinedMember).memberId, topic, partition);
    }
  }
  return shares;
}

type Shares = Map<string, Map<string, number[]>>;

function emptyShares(members: readonly JoinedMember[]): Shares {
  return new Map(members.map(({ memberId }) => [memberId, new Map<string, number[]>()]));
}

function give(shares: Shares, memberId: string, topic: string, partition: number): void {
  const share = shares.get(memberId) as Map<string, number[]>;
  const partitions = share.get(topic);
  if (partitions === undefined) share.set(topic, [partition]);
  else partitions.push(partition);
}

/** Static members first, by their instance id; so a restart does not change who gets what. */
function byIdentity(one: JoinedMember, other: JoinedMember): number {
  if (one.instanceId !== undefined && other.instanceId !== undefined) return compare(one.instanceId, other.instanceId);
  if (one.instanceId !== undefined) return -1;
  if (other.instanceId !== undefined) return 1;
  return compare(one.memberId, other.memberId);
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
