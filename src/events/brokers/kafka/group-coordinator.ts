import type { Cluster } from "./cluster.ts";
import { code } from "./error-codes.ts";
import { requestTimeoutMs } from "./limits.ts";
import type {
  Address,
  Channel,
  CommitAnswer,
  CommittedAnswer,
  KafkaClient,
  MemberIdentity,
  OffsetToCommit,
  OpenTransaction,
  Place,
} from "./wire.ts";

/** The broker that coordinates a group: looked up when it is needed, and again when it is not the one any more. */
export class GroupCoordinator {
  readonly channel: Channel;
  readonly #cluster: Cluster;
  readonly #group: string;
  readonly #abandoned = new AbortController();
  #found: Promise<Address> | undefined;

  constructor(client: KafkaClient, cluster: Cluster, group: string) {
    this.channel = client.channel(requestTimeoutMs);
    this.#cluster = cluster;
    this.#group = group;
  }

  get signal(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** @throws CallError, BrokerError */
  find(): Promise<Address> {
    if (this.#found === undefined) {
      const found = this.#cluster.coordinatorOf(this.channel, "group", this.#group, this.signal);
      this.#found = found;
      found.catch(() => {
        if (this.#found === found) this.#found = undefined;
      });
    }
    return this.#found;
  }

  /** Somebody else coordinates by now. */
  forget(): void {
    this.#found = undefined;
  }

  refused(error: number): void {
    if (error === code.notCoordinator || error === code.coordinatorNotAvailable) this.forget();
  }

  async commit(member: MemberIdentity, offsets: readonly OffsetToCommit[]): Promise<readonly CommitAnswer[]> {
    return this.#ask(at => this.channel.commit(at, member, offsets));
  }

  commitInTransaction(
    transaction: OpenTransaction,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): Promise<readonly CommitAnswer[]> {
    return this.#ask(at => this.channel.commitInTransaction(at, transaction, member, offsets));
  }

  async committed(places: readonly Place[] | undefined): Promise<CommittedAnswer> {
    const answer = await this.#ask(at => this.channel.committed(at, this.#group, places));
    this.refused(answer.error);
    return answer;
  }

  /** Waits no longer for one that cannot be found. */
  abandon(): void {
    this.#abandoned.abort();
  }

  async close(): Promise<void> {
    this.abandon();
    await this.channel.close();
  }

  async #ask<T>(call: (at: Address) => Promise<T>): Promise<T> {
    const at = await this.find();
    try {
      return await call(at);
    } catch (error) {
      this.forget();
      throw error;
    }
  }
}
