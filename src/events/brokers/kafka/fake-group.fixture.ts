import type { Timer } from "../../../platform/index.ts";
import type { VirtualClock } from "../../../platform/virtual/index.ts";
import { code } from "./error-codes.ts";
import type {
  Assignment,
  CommitAnswer,
  CommittedAnswer,
  JoinAnswer,
  JoinRequest,
  MemberIdentity,
  OffsetToCommit,
  OpenTransaction,
  Place,
  SyncAnswer,
  SyncRequest,
} from "./wire.ts";

interface FakeMember {
  readonly memberId: string;
  request: JoinRequest;
  joining: ((answer: JoinAnswer) => void) | undefined;
  syncing: ((answer: SyncAnswer) => void) | undefined;
  session: Timer | undefined;
}

/** A group as its coordinator keeps it, by the classic protocol. */
export class FakeGroup {
  readonly committed_ = new Map<string, OffsetToCommit>();
  readonly #clock: VirtualClock;
  readonly #members = new Map<string, FakeMember>();
  readonly #promised = new Set<string>();
  readonly #pending = new Map<bigint, readonly OffsetToCommit[]>();
  #state: "empty" | "preparing" | "completing" | "stable" = "empty";
  #leader = "";
  #assignments: ReadonlyMap<string, Assignment> = new Map();
  #deadline: Timer | undefined;
  #ids = 0;
  generation = 0;

  constructor(clock: VirtualClock) {
    this.#clock = clock;
  }

  get members(): readonly string[] {
    return [...this.#members.keys()];
  }

  join(request: JoinRequest): JoinAnswer | Promise<JoinAnswer> {
    const refuse = (error: number, memberId = request.memberId): JoinAnswer => ({
      error,
      generation: -1,
      memberId,
      strategy: "",
      isLeader: false,
      skipsAssignment: false,
      members: [],
    });
    if (request.memberId === "") {
      const memberId = `member-${++this.#ids}`;
      this.#promised.add(memberId);
      return refuse(code.memberIdRequired, memberId);
    }
    const { memberId } = request;
    if (!this.#members.has(memberId) && !this.#promised.delete(memberId)) return refuse(code.unknownMemberId);
    const member = this.#members.get(memberId) ?? {
      memberId,
      request,
      joining: undefined,
      syncing: undefined,
      session: undefined,
    };
    member.request = request;
    member.session?.cancel();
    this.#members.set(memberId, member);
    return new Promise(resolve => {
      member.joining = resolve;
      this.#prepare();
    });
  }

  sync({ memberId, generation, assignments }: SyncRequest): SyncAnswer | Promise<SyncAnswer> {
    const member = this.#members.get(memberId);
    const error = this.#refusal(memberId, generation);
    if (member === undefined || error !== code.none) return { error, assignment: new Map() };
    if (this.#state === "preparing") return { error: code.rebalanceInProgress, assignment: new Map() };
    this.#touch(member);
    const answered = new Promise<SyncAnswer>(resolve => {
      member.syncing = resolve;
    });
    if (memberId === this.#leader && this.#state === "completing") {
      this.#assignments = assignments;
      this.#state = "stable";
    }
    if (this.#state === "stable") this.#answerSyncs();
    return answered;
  }

  heartbeat({ memberId, generation }: MemberIdentity): number {
    const error = this.#refusal(memberId, generation);
    const member = this.#members.get(memberId);
    if (error !== code.none || member === undefined) return error;
    this.#touch(member);
    return this.#state === "preparing" ? code.rebalanceInProgress : code.none;
  }

  commit({ memberId, generation }: MemberIdentity, offsets: readonly OffsetToCommit[]): readonly CommitAnswer[] {
    let error = this.#refusal(memberId, generation);
    if (error === code.none && this.#state === "completing") error = code.rebalanceInProgress;
    return offsets.map(one => {
      if (error === code.none) this.committed_.set(`${one.topic}/${one.partition}`, one);
      return { topic: one.topic, partition: one.partition, error };
    });
  }

  /** Counts when the transaction is committed. */
  commitInTransaction(
    { producerId }: OpenTransaction,
    member: MemberIdentity,
    offsets: readonly OffsetToCommit[],
  ): readonly CommitAnswer[] {
    let error = this.#refusal(member.memberId, member.generation);
    if (error === code.none && this.#state === "completing") error = code.rebalanceInProgress;
    if (error === code.none) this.#pending.set(producerId, [...(this.#pending.get(producerId) ?? []), ...offsets]);
    return offsets.map(({ topic, partition }) => ({ topic, partition, error }));
  }

  endTransaction(producerId: bigint, _producerEpoch: number, commits: boolean): void {
    const offsets = this.#pending.get(producerId) ?? [];
    this.#pending.delete(producerId);
    if (commits) for (const one of offsets) this.committed_.set(`${one.topic}/${one.partition}`, one);
  }

  fetch(places: readonly Place[] | undefined): CommittedAnswer {
    const offsets = (places ?? [...this.committed_.values()]).map(({ topic, partition }) => {
      const found = this.committed_.get(`${topic}/${partition}`);
      const isPending = [...this.#pending.values()].some(offsets =>
        offsets.some(one => one.topic === topic && one.partition === partition),
      );
      if (isPending) return { topic, partition, error: code.unstableOffsetCommit, offset: -1, metadata: undefined };
      return { topic, partition, error: 0, offset: found?.offset ?? -1, metadata: found?.metadata };
    });
    return { error: 0, offsets };
  }

  leave(memberId: string): number {
    if (!this.#members.has(memberId)) return code.unknownMemberId;
    this.#expel(memberId);
    return code.none;
  }

  #refusal(memberId: string, generation: number): number {
    if (!this.#members.has(memberId)) return code.unknownMemberId;
    return generation === this.generation ? code.none : code.illegalGeneration;
  }

  #touch(member: FakeMember): void {
    member.session?.cancel();
    member.session = this.#clock.after(member.request.sessionTimeoutMs, () => this.#expel(member.memberId));
  }

  #expel(memberId: string): void {
    this.#members.get(memberId)?.session?.cancel();
    this.#members.delete(memberId);
    if (this.#members.size === 0) {
      this.#state = "empty";
      this.#deadline?.cancel();
    } else this.#prepare();
  }

  #prepare(): void {
    if (this.#state !== "preparing") {
      this.#state = "preparing";
      for (const { syncing } of this.#members.values())
        syncing?.({ error: code.rebalanceInProgress, assignment: new Map() });
      for (const member of this.#members.values()) member.syncing = undefined;
      const longest = Math.max(...[...this.#members.values()].map(({ request }) => request.rebalanceTimeoutMs));
      this.#deadline = this.#clock.after(longest, () => {
        for (const { memberId, joining } of [...this.#members.values()])
          if (joining === undefined) this.#expel(memberId);
      });
    }
    if ([...this.#members.values()].every(({ joining }) => joining !== undefined)) this.#complete();
  }

  #complete(): void {
    this.#deadline?.cancel();
    this.generation++;
    this.#state = "completing";
    const all = [...this.#members.values()];
    this.#leader = all.some(({ memberId }) => memberId === this.#leader) ? this.#leader : (all[0]?.memberId ?? "");
    const members = all.map(({ memberId, request }) => ({
      memberId,
      instanceId: request.instanceId,
      topics: request.topics,
    }));
    for (const member of all) {
      const isLeader = member.memberId === this.#leader;
      const { joining, memberId } = member;
      member.joining = undefined;
      this.#touch(member);
      joining?.({
        error: code.none,
        generation: this.generation,
        memberId,
        strategy: "range",
        isLeader,
        skipsAssignment: false,
        members: isLeader ? members : [],
      });
    }
  }

  #answerSyncs(): void {
    for (const member of this.#members.values()) {
      member.syncing?.({ error: code.none, assignment: this.#assignments.get(member.memberId) ?? new Map() });
      member.syncing = undefined;
    }
  }
}
