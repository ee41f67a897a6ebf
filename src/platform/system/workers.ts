import cluster, { type Worker } from "node:cluster";
import process from "node:process";
import { outsideContext } from "../context.ts";
import type { Observer } from "../observer.ts";
import { systemClock } from "./clock.ts";

/**
 * Several processes on one port: the first one, the primary, starts copies of itself (they run the same main module) and
 * replaces those that die; only the copies listen. Connections are handed out in turn (node:cluster), because few
 * connections with many calls each are the rule here and the kernel's hashing would spread them unevenly.
 */

/** Where the workers listen. */
export interface WorkerAddress {
  readonly host: string;
  readonly port: number;
}

/** A worker ended without having been asked to; a new one follows after `restartMs`. */
export interface WorkerEnded {
  readonly type: "platform.worker.ended";
  readonly pid: number | undefined;
  readonly exitCode: number | null;
  readonly signal: string | null;
  readonly restartMs: number;
}

/** Whether this process is a copy that a primary started. */
export const isWorkerProcess = cluster.isWorker;

const restartMsMin = 100;
const restartMsMax = 10_000;
/** A worker that has lived so long had no trouble with its start. */
const steadyMs = 10_000;

type ToPrimary = { readonly trunkline: "listening"; readonly address: WorkerAddress };
type ToWorker = { readonly trunkline: "drain"; readonly timeoutMs: number };

/** In a worker: tells the primary that it listens; `drain` is called when the primary wants it to end. */
export function joinPrimary(address: WorkerAddress, drain: (timeoutMs: number) => Promise<void>): void {
  process.on("message", (message: ToWorker) => {
    if (message?.trunkline !== "drain") return;
    // Without its channel the worker ends when nothing else keeps it.
    void drain(message.timeoutMs).finally(() => cluster.worker?.disconnect());
  });
  process.send?.({ trunkline: "listening", address } satisfies ToPrimary);
}

/** The primary's side. One of a process, because every copy runs the whole main module. */
export class WorkerCrew {
  static #isTaken = false;
  readonly #observer: Observer;
  readonly #workers = new Set<Worker>();
  readonly #started = Promise.withResolvers<WorkerAddress>();
  #awaited: number;
  #isEnding = false;
  #failures = 0;
  #noneLeft: (() => void) | undefined;

  /** @throws TypeError for a count that is no number of processes; Error for a second crew in this process */
  constructor(count: number, observer: Observer) {
    if (!Number.isInteger(count) || count < 1 || count > 1024) {
      throw new TypeError(`workers is ${count}; it must be an integer from 1 to 1024`);
    }
    if (WorkerCrew.#isTaken) throw new Error("only one server of a process can have workers");
    WorkerCrew.#isTaken = true;
    this.#observer = observer;
    this.#awaited = count;
    for (let i = 0; i < count; i++) this.#fork();
  }

  /** Resolves when all listen; rejects when one ends before. */
  get started(): Promise<WorkerAddress> {
    return this.#started.promise;
  }

  /** Lets every worker finish its calls; those that have not ended by then are killed. */
  async drain(timeoutMs: number): Promise<void> {
    this.#isEnding = true;
    for (const worker of this.#workers) {
      if (worker.isConnected()) worker.send({ trunkline: "drain", timeoutMs } satisfies ToWorker);
    }
    const timer = systemClock.after(timeoutMs + 1_000, () => this.#kill());
    await this.#ended();
    timer.cancel();
  }

  async close(): Promise<void> {
    this.#isEnding = true;
    this.#kill();
    await this.#ended();
  }

  #kill(): void {
    for (const worker of this.#workers) worker.process.kill("SIGKILL");
  }

  async #ended(): Promise<void> {
    if (this.#workers.size > 0) {
      await new Promise<void>(resolve => {
        this.#noneLeft = resolve;
      });
    }
    WorkerCrew.#isTaken = false;
  }

  #fork(): void {
    const worker = outsideContext(() => cluster.fork());
    this.#workers.add(worker);
    const bornAt = systemClock.now();
    let isListening = false;
    worker.on("message", (message: ToPrimary) => {
      if (message?.trunkline !== "listening" || isListening) return;
      isListening = true;
      this.#awaited--;
      if (this.#awaited === 0) this.#started.resolve(message.address);
    });
    worker.once("exit", (exitCode: number | null, signal: string | null) => {
      this.#workers.delete(worker);
      if (this.#isEnding) {
        if (this.#workers.size === 0) this.#noneLeft?.();
        return;
      }
      if (this.#awaited > 0) {
        this.#isEnding = true;
        const how = signal === null ? `exit code ${exitCode}` : signal;
        this.#started.reject(new Error(`a worker ended with ${how} before it listened; its output says why`));
        this.#kill();
        return;
      }
      if (systemClock.now() - bornAt >= steadyMs) this.#failures = 0;
      const restartMs = Math.min(restartMsMax, restartMsMin * 2 ** this.#failures++);
      const event: WorkerEnded = {
        type: "platform.worker.ended",
        pid: worker.process.pid,
        exitCode,
        signal,
        restartMs,
      };
      this.#observer.emit(event);
      systemClock.after(restartMs, () => {
        if (!this.#isEnding) this.#fork();
      });
    });
  }
}
