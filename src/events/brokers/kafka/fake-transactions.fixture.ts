import { crc32 } from "node:zlib";
import type { Timer } from "../../../platform/index.ts";
import type { VirtualClock } from "../../../platform/virtual/index.ts";
import { BatchWriter } from "./batch-writer.ts";
import { code } from "./error-codes.ts";
import type { OpenTransaction, Place, TransactionSettings } from "./wire.ts";

/** What a transaction has touched, and what is told of its end. */
export interface Participant {
  endTransaction(producerId: bigint, producerEpoch: number, commits: boolean): void;
}

interface State {
  readonly producerId: bigint;
  readonly timeoutMs: number;
  epoch: number;
  /** `undefined`: no transaction is open. */
  open: Map<string, Participant> | undefined;
  /** How the last one ended. */
  ended: boolean | undefined;
  timer: Timer | undefined;
}

/** A transaction coordinator (KIP-98), as far as clients can tell. */
export class FakeTransactions {
  readonly #clock: VirtualClock;
  readonly #states = new Map<string, State>();
  readonly #nextProducerId: () => bigint;
  /** Ended transactions. */
  readonly counts = { committed: 0, aborted: 0 };

  constructor(clock: VirtualClock, nextProducerId: () => bigint) {
    this.#clock = clock;
    this.#nextProducerId = nextProducerId;
  }

  get ids(): readonly string[] {
    return [...this.#states.keys()];
  }

  init({ transactionalId, timeoutMs }: TransactionSettings) {
    let state = this.#states.get(transactionalId);
    if (state === undefined) {
      const producerId = this.#nextProducerId();
      state = { producerId, timeoutMs, epoch: -1, open: undefined, ended: undefined, timer: undefined };
      this.#states.set(transactionalId, state);
    }
    this.#end(state, false);
    state.epoch++;
    state.ended = undefined;
    return { error: code.none, producerId: state.producerId, producerEpoch: state.epoch };
  }

  add(transaction: OpenTransaction, name: string, participant: Participant): number {
    const state = this.#states.get(transaction.transactionalId);
    const error = refusal(state, transaction);
    if (state === undefined || error !== code.none) return error;
    if (state.open === undefined) {
      state.open = new Map();
      // Whoever takes longer is fenced: the coordinator bumps the epoch itself.
      state.timer = this.#clock.after(state.timeoutMs, () => {
        this.#end(state, false);
        state.epoch++;
      });
    }
    state.open.set(name, participant);
    return code.none;
  }

  has({ transactionalId }: { readonly transactionalId: string }, { topic, partition }: Place): boolean {
    return this.#states.get(transactionalId)?.open?.has(`${topic}/${partition}`) === true;
  }

  end(transaction: OpenTransaction, commits: boolean): number {
    const state = this.#states.get(transaction.transactionalId);
    const error = refusal(state, transaction);
    if (state === undefined || error !== code.none) return error;
    if (state.open === undefined) return state.ended === commits ? code.none : code.invalidTransactionState;
    this.#end(state, commits);
    return code.none;
  }

  #end(state: State, commits: boolean): void {
    state.timer?.cancel();
    if (state.open === undefined) return;
    for (const participant of state.open.values()) {
      participant.endTransaction(state.producerId, state.epoch, commits);
    }
    state.open = undefined;
    state.ended = commits;
    this.counts[commits ? "committed" : "aborted"]++;
  }
}

function refusal(state: State | undefined, { producerId, producerEpoch }: OpenTransaction): number {
  if (state?.producerId !== producerId) return code.unknownProducerId;
  return state.epoch === producerEpoch ? code.none : code.producerFenced;
}

/** The marker that ends a transaction in a partition: a control batch. */
export function endMarker(producerId: bigint, producerEpoch: number): Buffer {
  const writer = new BatchWriter(bytes => crc32(bytes));
  writer.add({ topic: "", key: "\0\0\0\x01", value: Buffer.alloc(6), headers: [], timestampMs: 0 }, 1_000);
  const batch = writer.finish({ producerId, producerEpoch, sequence: -1, isTransactional: true });
  batch.writeInt16BE(0x30, 21);
  batch.writeUInt32BE(crc32(batch.subarray(21)), 17);
  return batch;
}
