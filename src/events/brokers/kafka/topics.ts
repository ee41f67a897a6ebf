import type { Clock } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText } from "./error-codes.ts";
import { deliveryTimeoutMs, parkedSegmentBytes, parkedSegmentMs } from "./limits.ts";
import { pause } from "./pause.ts";
import { CallError, type Channel, type NewTopic } from "./wire.ts";

/** Names of the topics that a group has beside those that it reads. */
export const retryTopicOf = (group: string): string => `${group}.retry`;
export const deadTopicOf = (group: string): string => `${group}.dead`;

export const parkedTopicOf = (group: string): string => `${group}.parked`;

export const plainTopic = (topic: string): NewTopic => ({ topic, partitions: -1, config: {} });

/** Letters by their ids: the newest record of an id counts, a tombstone ends it. One partition, so that they have an order. */
export const deadTopic = (group: string): NewTopic => ({
  topic: deadTopicOf(group),
  partitions: 1,
  config: { "cleanup.policy": "compact" },
});

/** Parked records by their places: as dead letters, read as a whole when a lane comes. */
export const parkedTopic = (group: string): NewTopic => ({
  topic: parkedTopicOf(group),
  partitions: 1,
  config: {
    "cleanup.policy": "compact",
    "min.cleanable.dirty.ratio": "0.1",
    // An event of the largest size has some more headers there.
    "max.message.bytes": "2097152",
    "segment.bytes": String(parkedSegmentBytes),
    "segment.ms": String(parkedSegmentMs),
  },
});

/**
 * Makes sure that topics are there and have leaders; makes the missing ones where `mayCreate`.
 * @throws BrokerError that names a topic and what to do
 */
export async function ensureTopics(
  channel: Channel,
  cluster: Cluster,
  clock: Clock,
  topics: readonly NewTopic[],
  mayCreate: boolean,
): Promise<void> {
  const untilMs = clock.now() + deliveryTimeoutMs;
  let wasCreated = false;
  for (let attempt = 1; ; attempt++) {
    let why = "";
    try {
      await cluster.refresh(topics.map(({ topic }) => topic));
      const missing = topics.filter(({ topic }) => isMissing(cluster, topic));
      for (const { topic } of topics) refuseUseless(cluster, topic);
      if (missing.length > 0 && !wasCreated) {
        if (!mayCreate) throw missingTopic(missing);
        await create(channel, cluster, missing);
        wasCreated = true;
      }
      const without = topics.find(({ topic }) => !hasLeaders(cluster, topic));
      if (without === undefined) return;
      why = `${without.topic} has no leader`;
    } catch (error) {
      if (!(error instanceof CallError) || error.isFinal) throw error;
      why = error.message;
    }
    if (cluster.isClosed || clock.now() > untilMs) throw new BrokerError(`kafka: topics cannot be used: ${why}`);
    await pause(clock, cluster.pauseMs(attempt));
  }
}

function isMissing(cluster: Cluster, topic: string): boolean {
  const known = cluster.topic(topic);
  return known === undefined || known.error === code.unknownTopicOrPartition;
}

function hasLeaders(cluster: Cluster, topic: string): boolean {
  const leaders = cluster.topic(topic)?.leaders ?? [];
  return leaders.length > 0 && leaders.every(leader => leader >= 0);
}

function refuseUseless(cluster: Cluster, topic: string): void {
  const error = cluster.topic(topic)?.error;
  if (error === code.topicAuthorizationFailed) {
    throw new BrokerError(
      `kafka: the user of the URL may not use topic ${JSON.stringify(topic)}, or it is not there; allow DESCRIBE, READ and WRITE as needed (kafka-acls --add --allow-principal … --operation … --topic ${topic})`,
    );
  }
  if (error === code.invalidTopic) {
    throw new BrokerError(
      `kafka: ${JSON.stringify(topic)} is no name of a topic; names have 1 to 249 of A-Z a-z 0-9 . _ -`,
    );
  }
}

function missingTopic(missing: readonly NewTopic[]): BrokerError {
  const names = missing.map(({ topic }) => topic).join(", ");
  const commands = missing.map(({ topic, config, partitions }) => {
    const settings = Object.entries(config).map(([name, value]) => ` --config ${name}=${value}`);
    return `kafka-topics --create --topic ${topic}${partitions > 0 ? ` --partitions ${partitions}` : ""}${settings.join("")}`;
  });
  return new BrokerError(
    `kafka: there is no topic ${names}; create it (${commands.join("; ")}), or connect with createTopics: true`,
  );
}

async function create(channel: Channel, cluster: Cluster, topics: readonly NewTopic[]): Promise<void> {
  const answers = await cluster.anyBroker(at => channel.createTopics(at, topics));
  for (const { topic, error, message } of answers) {
    // Another process may have been first.
    if (error === code.none || error === code.topicAlreadyExists) continue;
    const right = error === code.topicAuthorizationFailed || error === code.clusterAuthorizationFailed;
    const advice = right ? "; allow CREATE on it for the user of the URL, or create it yourself" : "";
    throw new BrokerError(`kafka: topic ${topic} cannot be created: ${message ?? codeText(error)}${advice}`);
  }
}

/** @throws BrokerError, CallError */
export async function removeTopic(channel: Channel, cluster: Cluster, topic: string): Promise<void> {
  const answers = await cluster.anyBroker(at => channel.deleteTopics(at, [topic]));
  const error = answers[0]?.error ?? code.none;
  if (error !== code.none && error !== code.unknownTopicOrPartition) {
    throw new BrokerError(`kafka: topic ${topic} cannot be deleted: ${codeText(error)}`);
  }
}
