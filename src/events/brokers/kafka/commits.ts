import { type Clock, outsideContext, type Timer } from "../../../platform/index.ts";
import { BrokerError } from "../../errors.ts";
import type { LaneCommit, LogLane } from "../../log/index.ts";
import type { Cluster } from "./cluster.ts";
import { code, codeText, isNotAuthorized } from "./error-codes.ts";
import { pause } from "./pause.ts";
import { CallError, type CommitAnswer, type OffsetToCommit } from "./wire.ts";

export interface CommitsHost {
  /** Lanes whose settlements are to be committed. */
  lanes(): Iterable<LogLane>;
  /** A commit is durable. */
  committed(): void;
  failed(error: Error): void;
}

/** Who carries commits out: the member of the group, or `atomic-commits.ts` with more than offsets. */
export interface Committer {
  /** @param lanes that the offsets are of, one for each. @throws CallError when there is no answer */
  commit(offsets: readonly OffsetToCommit[], lanes: readonly LogLane[]): Promise<readonly CommitAnswer[]>;
  /** An answer was not "none". */
  refused(error: number): void;
}

export interface CommitsOptions {
  readonly group: string;
  readonly everyMs: number;
  readonly clock: Clock;
  readonly cluster: Cluster;
  readonly member: Committer;
}

/**
 * Makes settlements durable: one request at a time for all lanes of a member, by interval, or at once when somebody waits;
 * what fails becomes part of the next.
 */
export class Commits {
  readonly #options: CommitsOptions;
  readonly #clock: Clock;
  readonly #host: CommitsHost;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #isWanted = false;
  #isStopped = false;
  #failures = 0;
  /** Brokers can be told to take less metadata than Kafka's default. */
  #metadataIsShort = false;

  constructor(host: CommitsHost, options: CommitsOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#host = host;
  }

  /** The request that is under way, if there is one. */
  get running(): Promise<void> | undefined {
    return this.#running;
  }

  /** There is something to commit. */
  changed(): void {
    if (!this.#isStopped && this.#timer === undefined) this.#arm(this.#options.everyMs);
  }

  /** Somebody waits for it. */
  soon(): void {
    if (this.#isWanted || this.#isStopped) return;
    this.#isWanted = true;
    outsideContext(() =>
      this.#clock.endOfTurn(() => {
        if (this.#running === undefined && !this.#isStopped) this.#commit();
      }),
    );
  }

  /** No further ones by themselves. */
  stop(): void {
    this.#isStopped = true;
    this.#timer?.cancel();
  }

  /**
   * The last commits of lanes that are given away, repeated while that makes sense.
   * @returns whether they are durable, or cannot be any more
   */
  async last(commits: readonly LaneCommit[], untilMs: number, lost: AbortSignal): Promise<boolean> {
    let left = commits;
    for (let attempt = 1; left.length > 0; attempt++) {
      const errors = await this.#ask(left);
      left = left.filter((_, index) => isWorthRepeating(errors[index]));
      if (left.length === 0) break;
      if (this.#clock.now() > untilMs || lost.aborted) return false;
      await pause(this.#clock, this.#options.cluster.pauseMs(attempt), lost);
    }
    return true;
  }

  #arm(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = outsideContext(() => this.#clock.after(delayMs, () => this.#commit()));
  }

  #commit(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#running !== undefined) {
      // One that takes longer than the interval: what has come meanwhile goes right after it.
      this.#isWanted = true;
      return;
    }
    this.#isWanted = false;
    const commits: LaneCommit[] = [];
    for (const lane of this.#host.lanes()) {
      const commit = lane.takeCommit();
      if (commit !== undefined) commits.push(commit);
    }
    if (commits.length === 0) return;
    this.#running = this.#write(commits).finally(() => {
      this.#running = undefined;
      if (this.#isWanted && !this.#isStopped) this.#commit();
    });
  }

  async #write(commits: readonly LaneCommit[]): Promise<void> {
    const errors = await this.#ask(commits);
    let failed = 0;
    for (const [index, commit] of commits.entries()) {
      if (errors[index] === code.none) commit.lane.committed(commit);
      else {
        failed++;
        commit.lane.commitFailed(commit);
      }
    }
    if (failed === 0) {
      this.#failures = 0;
      this.#host.committed();
    } else if (!this.#isStopped) {
      this.#isWanted = false;
      this.#arm(this.#options.cluster.pauseMs(++this.#failures));
    }
  }

  /** Error codes by commit; `undefined` where there was no answer. */
  async #ask(commits: readonly LaneCommit[]): Promise<readonly (number | undefined)[]> {
    const offsets = commits.map(({ lane, offset, metadata }): OffsetToCommit => {
      const { topic, partition } = lane;
      // The part before the semicolon says how far handlers may have come, the rest counts attempts.
      return { topic, partition, offset, metadata: this.#metadataIsShort ? metadata.replace(/;.*/s, "") : metadata };
    });
    let answers: readonly CommitAnswer[];
    try {
      const lanes = commits.map(({ lane }) => lane);
      answers = await this.#options.member.commit(offsets, lanes);
    } catch (error) {
      if (!(error instanceof CallError)) this.#host.failed(error as Error);
      // Who cannot reach the coordinator says so in the cluster's status; these are tried again.
      return [];
    }
    const errors = new Map(answers.map(({ topic, partition, error }) => [`${topic}/${partition}`, error]));
    for (const error of new Set(errors.values())) this.#refused(error);
    return commits.map(({ lane }) => errors.get(lane.name));
  }

  #refused(error: number): void {
    if (error === code.none) return;
    if (error === code.offsetMetadataTooLarge) this.#metadataIsShort = true;
    else if (isNotAuthorized(error)) {
      const text = `kafka: group ${this.#options.group} may not commit: ${codeText(error)}; allow READ on the group and on its topics for the user of the URL`;
      this.#host.failed(new BrokerError(text));
    } else this.#options.member.refused(error);
  }
}

/** Not when the partition belongs to somebody else by now. */
function isWorthRepeating(error: number | undefined): boolean {
  return (
    error !== code.none &&
    error !== code.unknownMemberId &&
    error !== code.illegalGeneration &&
    error !== code.fencedInstanceId &&
    error !== code.fencedMemberEpoch
  );
}
