import type { Place, TopicIdPartitions } from "./wire.ts";

/** A partition by the id of its topic. */
export interface OwnedPartition extends Place {
  readonly topicId: string;
}

/**
 * What a member of the consumer protocol (KIP-848) has, and what it should have. The broker decides; the member lets go of
 * what is missing from the target, says so with the list of what it owns, and only then somebody else gets it. Without clock
 * or network.
 */
export class ConsumerMembership {
  readonly #owned = new Map<string, OwnedPartition>();
  readonly #revoking = new Set<string>();
  #epoch = 0;
  /** The next heartbeat says everything: after joining and after an error. */
  #isFull = true;
  #ownedHasChanged = true;

  get epoch(): number {
    return this.#epoch;
  }

  get isFull(): boolean {
    return this.#isFull;
  }

  /** To be said with the next heartbeat; `undefined`: as before. */
  get ownedToSay(): readonly TopicIdPartitions[] | undefined {
    return this.#isFull || this.#ownedHasChanged ? this.#byTopicId() : undefined;
  }

  /** The list has changed since the last heartbeat: the broker waits for it. */
  get isUrgent(): boolean {
    return this.#ownedHasChanged;
  }

  /** A heartbeat is about to be sent. */
  said(): void {
    this.#ownedHasChanged = false;
  }

  /** The heartbeat was answered. */
  answered(epoch: number): void {
    this.#epoch = epoch;
    this.#isFull = false;
  }

  /** It was not, or not well: the broker may have missed what it said. */
  unanswered(): void {
    this.#isFull = true;
  }

  /** @returns what has come and what must go */
  reconcile(target: readonly OwnedPartition[]): {
    readonly come: readonly OwnedPartition[];
    readonly go: readonly OwnedPartition[];
  } {
    const wanted = new Set(target.map(keyOf));
    const come = target.filter(one => !this.#owned.has(keyOf(one)));
    const go = [...this.#owned].filter(([key]) => !wanted.has(key) && !this.#revoking.has(key));
    for (const one of come) this.#owned.set(keyOf(one), one);
    for (const [key] of go) this.#revoking.add(key);
    if (come.length > 0) this.#ownedHasChanged = true;
    return { come, go: go.map(([, one]) => one) };
  }

  /** Their handlers have ended and their offsets are committed. */
  revoked(partitions: readonly OwnedPartition[]): void {
    for (const one of partitions) {
      const key = keyOf(one);
      // Unless they were lost meanwhile.
      if (!this.#revoking.delete(key)) continue;
      this.#owned.delete(key);
      this.#ownedHasChanged = true;
    }
  }

  /** The broker does not count on the member any more. @returns what it had */
  lost(): readonly OwnedPartition[] {
    const all = [...this.#owned.values()];
    this.#owned.clear();
    this.#revoking.clear();
    this.#epoch = 0;
    this.#isFull = true;
    this.#ownedHasChanged = true;
    return all;
  }

  #byTopicId(): readonly TopicIdPartitions[] {
    const topics = new Map<string, number[]>();
    for (const { topicId, partition } of this.#owned.values()) {
      const partitions = topics.get(topicId);
      if (partitions === undefined) topics.set(topicId, [partition]);
      else partitions.push(partition);
    }
    return [...topics].map(([topicId, partitions]) => ({ topicId, partitions }));
  }
}

function keyOf({ topicId, partition }: OwnedPartition): string {
  return `${topicId}/${partition}`;
}
