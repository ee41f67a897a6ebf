import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import type { WorkerTask } from "./worker.ts";

const program = join(import.meta.dirname, "worker.ts");
/** A worker that ends although nobody wants it to is started again after this. */
const restartMs = 500;

/** One place for a producer or a consumer: its process, and the next one when that has ended. */
export class Worker {
  readonly name: string;
  readonly role: WorkerTask["role"];
  /** Processes that have ended by themselves: they could not reach the broker, or go on with it. */
  failures = 0;
  readonly #task: WorkerTask;
  readonly #log: number;
  #child: ChildProcess | undefined;
  #isWanted = false;
  #isExpected = false;
  #isReady = false;
  #isPaused = false;
  #running: Promise<void> = Promise.resolve();

  /** @param log a file for what the processes say */
  constructor(name: string, task: WorkerTask, log: number) {
    this.name = name;
    this.role = task.role;
    this.#task = task;
    this.#log = log;
  }

  /** Whether its process works: it consumes or produces and is not paused. */
  get isReady(): boolean {
    return this.#isReady && !this.#isPaused;
  }

  start(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#running = this.#run();
  }

  async #run(): Promise<void> {
    while (this.#isWanted) {
      const child = spawn(
        process.execPath,
        ["--conditions=trunkline-source", program, JSON.stringify(this.#task)],
        // Ctrl-C in the terminal reaches the parent only.
        { stdio: ["ignore", "ignore", this.#log, "ipc"], detached: true },
      );
      this.#child = child;
      this.#isExpected = false;
      child.once("message", () => {
        this.#isReady = true;
      });
      await once(child, "exit");
      this.#isReady = false;
      this.#isPaused = false;
      this.#child = undefined;
      if (!this.#isExpected) this.failures++;
      if (this.#isWanted) await pause(restartMs);
    }
  }

  /** At once; another process follows. */
  kill(): void {
    this.#isExpected = true;
    this.#child?.kill("SIGKILL");
  }

  /** In good order; another process follows. */
  restart(): void {
    this.#isExpected = true;
    this.#child?.kill("SIGTERM");
  }

  pause(): void {
    this.#isPaused = this.#child?.kill("SIGSTOP") ?? false;
  }

  resume(): void {
    this.#child?.kill("SIGCONT");
    this.#isPaused = false;
  }

  /** At once, and none follows. */
  abandon(): void {
    this.#isWanted = false;
    this.kill();
  }

  /** Lets the process end what it has begun. Resolves with whether it did so in time. */
  async stop(withinMs: number): Promise<boolean> {
    this.#isWanted = false;
    this.#isExpected = true;
    let isInTime = true;
    this.resume();
    this.#child?.kill("SIGTERM");
    const insist = setTimeout(() => {
      isInTime = false;
      this.#child?.kill("SIGKILL");
    }, withinMs);
    await this.#running;
    clearTimeout(insist);
    return isInTime;
  }
}
