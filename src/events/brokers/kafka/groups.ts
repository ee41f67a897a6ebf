import type { GroupStatus } from "../../driver.ts";
import { code } from "./error-codes.ts";
import { requestTimeoutMs } from "./limits.ts";
import { repeated, type ScanParts } from "./log-scan.ts";
import { parkedByLane } from "./parked-topic.ts";
import { bounds } from "./starting-points.ts";

/** The groups of consumers that the cluster knows, with what waits for each in each partition. */
export async function groupStatuses(parts: ScanParts): Promise<readonly GroupStatus[]> {
  const { cluster, client } = parts;
  const channel = client.channel(requestTimeoutMs);
  try {
    await repeated(parts, () => cluster.refresh([]));
    const byBroker = await Promise.all(
      cluster.brokers.map(at =>
        repeated(parts, async () => {
          const { groups } = await channel.listGroups(at);
          return {
            at,
            groups,
            members: groups.length === 0 ? new Map<string, number>() : await channel.describeGroups(at, groups),
          };
        }),
      ),
    );
    const statuses: GroupStatus[] = [];
    for (const { at, groups, members } of byBroker) {
      for (const group of groups) {
        const { error, offsets } = await channel.committed(at, group, undefined);
        if (error !== code.none) continue;
        const known = offsets.filter(one => one.error === code.none && one.offset >= 0);
        await repeated(parts, () => cluster.refresh([...new Set(known.map(({ topic }) => topic))]));
        // A topic that was deleted since has nothing that waits.
        const there = known.filter(({ topic, partition }) => cluster.leaderOf(topic, partition) !== undefined);
        const ends = await repeated(parts, () =>
          bounds(
            cluster,
            channel,
            there.map(({ topic, partition }) => ({ topic, partition, which: "latest" as const })),
          ),
        );
        const parked = await parkedByLane(parts, group);
        const endOf = new Map(ends.map(({ topic, partition, offset }) => [`${topic}/${partition}`, offset]));
        for (const { topic, partition, offset } of there) {
          const lane = `${topic}/${partition}`;
          const lag = Math.max((endOf.get(lane) ?? offset) - offset, 0) + (parked.get(lane) ?? 0);
          statuses.push({ group, topic, lane, lag, oldestAgeMs: undefined, consumers: members.get(group) });
        }
      }
    }
    return statuses;
  } finally {
    await channel.close();
  }
}
