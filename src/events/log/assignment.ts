/** A lane that a group's members share out. */
export interface SharedLane {
  /** Unique in the group; lanes are looked at in the order of their names. */
  readonly lane: string;
  readonly topic: string;
  /** Who has it at the moment. */
  readonly owner: string | undefined;
}

/** A member of a group. */
export interface GroupMember {
  readonly member: string;
  readonly topics: ReadonlySet<string>;
}

/**
 * Who should have each lane: shares differ by one at most where members want the same topics, and as few lanes move as
 * possible. A pure function of what all members see alike, so that they need no leader.
 * @returns the member by lane; lanes that nobody wants are missing
 */
export function assignLanes(
  lanes: readonly SharedLane[],
  members: readonly GroupMember[],
): ReadonlyMap<string, string> {
  const sortedMembers = members.toSorted((one, other) => compare(one.member, other.member));
  const sortedLanes = lanes.toSorted((one, other) => compare(one.lane, other.lane));
  const share = new Map(sortedMembers.map(({ member }) => [member, 0]));
  const assigned = new Map<string, string>();
  const shareOf = (member: string) => share.get(member) as number;
  const give = (lane: string, member: string) => {
    const before = assigned.get(lane);
    if (before !== undefined) share.set(before, shareOf(before) - 1);
    assigned.set(lane, member);
    share.set(member, shareOf(member) + 1);
  };
  const leastLoaded = (topic: string): string | undefined => {
    let least: string | undefined;
    for (const { member, topics } of sortedMembers) {
      if (topics.has(topic) && (least === undefined || shareOf(member) < shareOf(least))) least = member;
    }
    return least;
  };
  for (const { lane, topic, owner } of sortedLanes) {
    if (owner === undefined) continue;
    if (sortedMembers.some(({ member, topics }) => member === owner && topics.has(topic))) give(lane, owner);
  }
  for (const { lane, topic } of sortedLanes) {
    if (assigned.has(lane)) continue;
    const member = leastLoaded(topic);
    if (member !== undefined) give(lane, member);
  }
  // Every move makes the sum of the squared shares smaller, so that this ends.
  for (let hasMoved = true; hasMoved; ) {
    hasMoved = false;
    for (const { lane, topic } of sortedLanes) {
      const owner = assigned.get(lane);
      const least = leastLoaded(topic);
      if (owner === undefined || least === undefined || shareOf(least) >= shareOf(owner) - 1) continue;
      give(lane, least);
      hasMoved = true;
    }
  }
  return assigned;
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}
