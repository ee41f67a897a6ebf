import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import process from "node:process";
import type { Writable } from "node:stream";
import { setTimeout as delay } from "node:timers/promises";
import { killTree, pauseTree, resumeTree } from "./process-tree.ts";

/** A server of its own for tests that stop, kill or pause it; disposing it ends it and removes its data. */
export interface OwnServer extends AsyncDisposable {
  /** Of the first process of the server that runs or ran last. */
  readonly pid: number;
  /** On the same ports and the same data; resolves when it answers. */
  start(): Promise<void>;
  /** As an operator would; resolves when it has ended. */
  stop(): Promise<void>;
  /** Stops it, if it runs, and starts it. */
  restart(): Promise<void>;
  /** SIGKILL to all its processes; resolves when it has ended. */
  kill(): Promise<void>;
  /** SIGSTOP: connections stay open, nothing is answered. */
  pause(): void;
  resume(): void;
}

export interface Program {
  readonly command: string;
  readonly args: readonly string[];
  readonly env: NodeJS.ProcessEnv;
  /** Runs as somebody else than root. */
  readonly user?: { readonly uid: number; readonly gid: number } | undefined;
}

export interface ServerOptions {
  readonly name: string;
  /** From `serverFolder`; removed at the end. */
  readonly folder: string;
  readonly program: Program;
  /** Runs as long as this object, also while the server is down. */
  readonly companion?: Program | undefined;
  /** Rejects while the server does not answer as it should; asked again and again. */
  readonly probe: () => Promise<void>;
  /** What makes the server end in good order. */
  readonly stopSignal: NodeJS.Signals;
}

const startMsMax = 60_000;
const stopMsMax = 30_000;
const probeEveryMs = 50;
const logTailBytes = 4_000;

export function serverFolder(name: string): string {
  return mkdtempSync(join(tmpdir(), `trunkline-${name}-`));
}

const hasEnded = (child: ChildProcess) => child.exitCode !== null || child.signalCode !== null;

/** A foreign server as processes of ours. They end with this process, also when it is killed: see `watchdog.ts`. */
export class ServerProcess implements OwnServer {
  readonly #options: ServerOptions;
  readonly #watchdog: ChildProcess;
  readonly #companion: ChildProcess | undefined;
  #server: ChildProcess | undefined;
  #isPaused = false;

  constructor(options: ServerOptions) {
    this.#options = options;
    this.#watchdog = spawn(process.execPath, [join(import.meta.dirname, "watchdog.ts"), options.folder], {
      detached: true,
      stdio: ["pipe", "ignore", "inherit"],
    });
    // Whoever forgets to dispose a server still ends, and the server with them.
    this.#watchdog.unref();
    (this.#watchdog.stdin as Writable & { unref(): void }).unref();
    this.#companion = options.companion && this.#spawn(options.companion);
    this.#companion?.unref();
    this.#watch();
  }

  get pid(): number {
    const pid = this.#server?.pid;
    if (pid === undefined) throw new Error(`${this.#options.name} was not started`);
    return pid;
  }

  /** The end of what the server and its companion printed. */
  get log(): string {
    return readFileSync(this.#logFile, "utf8").slice(-logTailBytes);
  }

  /** The first start, with what must come before; nothing is left when it fails. */
  async startOrDispose(prepare?: () => Promise<void>): Promise<void> {
    try {
      await prepare?.();
      await this.start();
    } catch (error) {
      await this[Symbol.asyncDispose]();
      throw error;
    }
  }

  async start(): Promise<void> {
    const { name, program, probe } = this.#options;
    if (this.#running !== undefined) throw new Error(`${name} runs already`);
    const server = this.#spawn(program);
    this.#server = server;
    this.#isPaused = false;
    this.#watch();
    const deadline = performance.now() + startMsMax;
    for (;;) {
      const failure = await probe().then(
        () => undefined,
        (error: unknown) => error,
      );
      if (failure === undefined && !hasEnded(server)) break;
      const isLate = performance.now() > deadline;
      if (isLate || hasEnded(server)) {
        const { log } = this;
        if (isLate) await this.kill();
        const what = isLate ? `did not answer within ${startMsMax / 1_000} s` : `ended with ${server.exitCode}`;
        throw new Error(`${name} ${what}; the end of its log:\n${log}`, { cause: failure });
      }
      await delay(probeEveryMs);
    }
    server.unref();
  }

  async stop(): Promise<void> {
    const server = this.#running;
    if (server?.pid === undefined) return;
    this.resume();
    process.kill(server.pid, this.#options.stopSignal);
    await this.#end(server);
  }

  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  async kill(): Promise<void> {
    const server = this.#running;
    if (server?.pid === undefined) return;
    killTree(server.pid);
    await this.#end(server);
  }

  pause(): void {
    pauseTree(this.pid);
    this.#isPaused = true;
  }

  resume(): void {
    if (!this.#isPaused) return;
    resumeTree(this.pid);
    this.#isPaused = false;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    if (this.#companion !== undefined && !hasEnded(this.#companion)) {
      this.#companion.kill("SIGKILL");
      await this.#end(this.#companion);
    }
    if (hasEnded(this.#watchdog)) {
      rmSync(this.#options.folder, { recursive: true, force: true });
      return;
    }
    // It removes the folder.
    this.#watchdog.ref();
    this.#watchdog.stdin?.end();
    await once(this.#watchdog, "exit");
  }

  get #running(): ChildProcess | undefined {
    return this.#server !== undefined && !hasEnded(this.#server) ? this.#server : undefined;
  }

  get #logFile(): string {
    return join(this.#options.folder, "server.log");
  }

  #spawn({ command, args, env, user }: Program): ChildProcess {
    const log = openSync(this.#logFile, "a");
    try {
      return spawn(command, args, {
        cwd: this.#options.folder,
        env,
        // Ctrl-C in the terminal reaches the tests only, who end the server.
        detached: true,
        stdio: ["ignore", log, log],
        ...user,
      });
    } finally {
      closeSync(log);
    }
  }

  /** Tells the watchdog what runs now. */
  #watch(): void {
    const pids = [this.#running, this.#companion].flatMap(child => child?.pid ?? []);
    this.#watchdog.stdin?.write(`${JSON.stringify(pids)}\n`);
  }

  /** Waits for the end of a process that was told to; insists after a while. */
  async #end(child: ChildProcess): Promise<void> {
    child.ref();
    const insist = setTimeout(() => child.pid !== undefined && killTree(child.pid), stopMsMax);
    if (!hasEnded(child)) await once(child, "exit");
    clearTimeout(insist);
    this.#watch();
  }
}
