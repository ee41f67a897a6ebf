import process from "node:process";
import { isMainThread, parentPort, type Transferable, Worker, workerData } from "node:worker_threads";
import { busyMs } from "./limits.ts";
import { openForWriting } from "./open-file.ts";
import { WriteTransaction } from "./write-transaction.ts";
import type { LogWriter, Write } from "./writes.ts";

/** The subpath that runs {@link serveWrites}: a module of its own also where the others were joined. */
const threadModule = "trunkline/sqlite-writer";

interface ThreadData {
  readonly trunklineSqliteWriter: true;
  readonly file: string;
  readonly durability: "full" | "normal";
}

interface Request {
  readonly id: number;
  readonly writes: readonly Write[];
  readonly nowMs: number;
}

interface Failure {
  readonly message: string;
  readonly errcode: number | undefined;
}

type Answer =
  | { readonly id: number; readonly answers: readonly unknown[] }
  | { readonly id: number; readonly failure: Failure };

interface Pending {
  readonly resolve: (answers: readonly unknown[]) => void;
  readonly reject: (error: Error) => void;
}

/** The number of the thread's first answer: whether it could open the file. */
const opening = 0;

/**
 * Writes in a thread of its own, so that the program goes on while a transaction waits for the disk. The thread keeps the
 * process alive only while something is being written.
 */
export class ThreadWriter implements LogWriter {
  readonly #file: string;
  readonly #durability: "full" | "normal";
  readonly #pending = new Map<number, Pending>();
  #worker: Worker | undefined;
  #ended: Promise<void> = Promise.resolve();
  #lastId = opening;

  private constructor(file: string, durability: "full" | "normal") {
    this.#file = file;
    this.#durability = durability;
  }

  /** @throws (rejects) when there is no module for the thread, or the file cannot be opened */
  static async start(file: string, durability: "full" | "normal"): Promise<ThreadWriter> {
    const writer = new ThreadWriter(file, durability);
    await writer.#start();
    return writer;
  }

  async write(writes: readonly Write[], nowMs: number): Promise<readonly unknown[]> {
    if (this.#worker === undefined) await this.#start();
    const id = ++this.#lastId;
    return this.#await(id, () => {
      this.#worker?.postMessage({ id, writes, nowMs } satisfies Request, transferables(writes));
    });
  }

  async close(): Promise<void> {
    this.#worker?.ref();
    this.#worker?.postMessage(undefined);
    await this.#ended;
  }

  async #start(): Promise<void> {
    const workerData: ThreadData = { trunklineSqliteWriter: true, file: this.#file, durability: this.#durability };
    const worker = new Worker(new URL(import.meta.resolve(threadModule)), { workerData });
    worker.on("message", (answer: Answer) => this.#answered(answer));
    this.#ended = new Promise(resolve => {
      let cause: unknown;
      worker.on("error", error => {
        cause = error;
      });
      worker.on("exit", () => {
        resolve();
        this.#exited(cause);
      });
    });
    this.#worker = worker;
    await this.#await(opening, () => {});
  }

  #await(id: number, send: () => void): Promise<readonly unknown[]> {
    return new Promise((resolve, reject) => {
      if (this.#pending.size === 0) this.#worker?.ref();
      this.#pending.set(id, { resolve, reject });
      send();
    });
  }

  #answered(answer: Answer): void {
    const pending = this.#pending.get(answer.id);
    this.#pending.delete(answer.id);
    if (this.#pending.size === 0) this.#worker?.unref();
    if ("answers" in answer) pending?.resolve(answer.answers);
    else pending?.reject(Object.assign(new Error(answer.failure.message), { errcode: answer.failure.errcode }));
  }

  /** Whether what was being written is durable, nobody knows; whoever asks next starts another thread. */
  #exited(cause: unknown): void {
    this.#worker = undefined;
    const lost = [...this.#pending.values()];
    this.#pending.clear();
    for (const { reject } of lost) {
      reject(new Error(`sqlite: the thread that writes ${this.#file} has ended`, { cause }));
    }
  }
}

/** Batches are handed over, not copied. */
function transferables(writes: readonly Write[]): Transferable[] {
  const buffers: Transferable[] = [];
  for (const write of writes) {
    if (write.kind === "append") for (const { batch } of write.batches) buffers.push(batch.buffer as ArrayBuffer);
  }
  return buffers;
}

/** The other side; does nothing outside of the thread. */
export function serveWrites(): void {
  const data = workerData as Partial<ThreadData> | null;
  if (isMainThread || parentPort === null || data?.trunklineSqliteWriter !== true) return;
  const port = parentPort;
  const { file, durability } = data as ThreadData;
  const fail = (id: number, error: unknown) => {
    const { message, errcode } = error as { message: string; errcode?: number };
    port.postMessage({ id, failure: { message, errcode } } satisfies Answer);
  };
  try {
    const database = openForWriting(file, durability);
    // Waiting holds up nobody here.
    database.exec(`PRAGMA busy_timeout = ${busyMs}`);
    const transaction = new WriteTransaction(database);
    port.on("message", (request: Request | undefined) => {
      if (request === undefined) {
        database.close();
        port.close();
        return;
      }
      try {
        const answers = transaction.run(request.writes, request.nowMs);
        port.postMessage({ id: request.id, answers } satisfies Answer);
      } catch (error) {
        fail(request.id, error);
      }
    });
    port.postMessage({ id: opening, answers: [] } satisfies Answer);
  } catch (error) {
    fail(opening, error);
    process.exitCode = 1;
    port.close();
  }
}
