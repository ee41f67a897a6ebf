import { BrokerError } from "../../errors.ts";
import { type Cluster, groupRefused } from "./cluster.ts";
import { code, codeText, isNotAuthorized } from "./error-codes.ts";
import type { Member } from "./group-member.ts";
import type { Address, Channel, OffsetAnswer, OffsetQuestion, Place } from "./wire.ts";

/** Where a partition is taken up. */
export interface StartingPoint extends Place {
  readonly offset: number;
  readonly metadata: string | undefined;
}

/**
 * Where the group has committed, or where a new group begins. A partition without a commit of a topic that has commits in
 * others was added later: it is read from its beginning, because what it has came after the group did.
 * @throws BrokerError for what will not change, other errors for what may
 */
export async function startingPoints(
  { cluster, channel }: { readonly cluster: Cluster; readonly channel: Channel },
  member: Pick<Member, "committed">,
  places: readonly Place[],
  fromOf: (place: Place) => "beginning" | "now",
): Promise<readonly StartingPoint[]> {
  if (places.length === 0) return [];
  const topics = [...new Set(places.map(({ topic }) => topic))];
  const unknown = topics.filter(topic => (cluster.topic(topic)?.leaders.length ?? 0) === 0);
  if (unknown.length > 0) await cluster.refresh(unknown);
  const all = topics.flatMap(topic =>
    (cluster.topic(topic)?.leaders ?? []).map((_, partition) => ({ topic, partition })),
  );
  const { error, offsets } = await member.committed(all);
  if (isNotAuthorized(error)) throw groupRefused("of this subscription", error);
  if (error !== code.none) throw new Error(`committed offsets: ${codeText(error)}`);
  const committed = new Map<string, StartingPoint>();
  const topicsWithCommits = new Set<string>();
  for (const { topic, partition, error: refused, offset, metadata } of offsets) {
    if (isNotAuthorized(refused))
      throw new BrokerError(`kafka: the user of the URL may not read topic ${topic}; allow READ on it`);
    if (refused !== code.none) throw new Error(`committed offset of ${topic}/${partition}: ${codeText(refused)}`);
    if (offset < 0) continue;
    committed.set(`${topic}/${partition}`, { topic, partition, offset, metadata });
    topicsWithCommits.add(topic);
  }
  const points: StartingPoint[] = [];
  const questions: OffsetQuestion[] = [];
  for (const place of places) {
    const point = committed.get(`${place.topic}/${place.partition}`);
    if (point !== undefined) points.push(point);
    else {
      const isNow = fromOf(place) === "now" && !topicsWithCommits.has(place.topic);
      questions.push({ ...place, which: isNow ? "latest" : "earliest" });
    }
  }
  for (const { topic, partition, offset } of await bounds(cluster, channel, questions)) {
    points.push({ topic, partition, offset, metadata: undefined });
  }
  return points;
}

/** First or next offsets of partitions, from their leaders. @throws Error when one of them is not known at the moment */
export async function bounds(
  cluster: Cluster,
  channel: Channel,
  questions: readonly OffsetQuestion[],
): Promise<readonly OffsetAnswer[]> {
  const byLeader = new Map<Address, OffsetQuestion[]>();
  for (const question of questions) {
    const leader = cluster.leaderOf(question.topic, question.partition);
    if (leader === undefined) {
      await cluster.refresh([question.topic]);
      throw new Error(`${question.topic}/${question.partition} has no leader`);
    }
    const asked = byLeader.get(leader);
    if (asked === undefined) byLeader.set(leader, [question]);
    else asked.push(question);
  }
  const answers = await Promise.all([...byLeader].map(([leader, asked]) => channel.listOffsets(leader, asked)));
  for (const { topic, partition, error } of answers.flat()) {
    if (error === code.none) continue;
    if (isNotAuthorized(error))
      throw new BrokerError(`kafka: the user of the URL may not read topic ${topic}; allow READ on it`);
    await cluster.refresh([topic]);
    throw new Error(`offsets of ${topic}/${partition}: ${codeText(error)}`);
  }
  return answers.flat();
}
