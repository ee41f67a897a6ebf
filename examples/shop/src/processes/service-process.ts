import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { styleText } from "node:util";
import type { ServiceName } from "./services.ts";

const entry = join(import.meta.dirname, "../serve.ts");
const colours = ["cyan", "magenta", "yellow", "green", "blue"] as const;
/** The exit code by which `serve.ts` says that its port is taken. */
const portTakenExitCode = 98;
const restartDelayMinMs = 250;
const restartDelayMaxMs = 10_000;
/** A process that lived this long begins with the shortest delay again. */
const stableAfterMs = 30_000;

export type StartFailure = "port-taken" | "failed";

/** Where the lines of the services go. */
export interface ServiceOutput {
  readonly stdout: Writable;
  readonly stderr: Writable;
}

export interface ServiceProcessOptions {
  readonly name: ServiceName;
  /** Which one of its service, from 1. */
  readonly instance: number;
  /** Which colour its lines have. */
  readonly colour: number;
  /** Of the child process. */
  readonly environment: NodeJS.ProcessEnv;
  readonly output: ServiceOutput;
  /** It takes calls, again perhaps. */
  readonly onReady?: ((pid: number) => void) | undefined;
  /** It has ended, for whatever reason. */
  readonly onEnded?: (() => void) | undefined;
}

/** One service as a child process: its lines get a prefix, and when it dies after its start it is started again. */
export class ServiceProcess {
  readonly name: ServiceName;
  readonly instance: number;
  readonly #options: ServiceProcessOptions;
  readonly #prefix: (stream: Writable) => string;
  #child: ChildProcess | undefined;
  #isStopping = false;
  #isReady = false;
  #restart: NodeJS.Timeout | undefined;
  #restartDelayMs = restartDelayMinMs;
  #restarts = 0;

  constructor(options: ServiceProcessOptions) {
    const { name, instance } = options;
    this.name = name;
    this.instance = instance;
    this.#options = options;
    const colour = colours[options.colour % colours.length] ?? "cyan";
    const label = instance === 1 ? `[${name}]` : `[${name} ${instance}]`;
    this.#prefix = stream =>
      stream === process.stdout || stream === process.stderr ? styleText(colour, label, { stream }) : label;
  }

  /** Of the process that runs now. */
  get pid(): number | undefined {
    return this.#child?.pid;
  }

  /** Whether it has said that it listens, and has not ended since. */
  get isReady(): boolean {
    return this.#isReady;
  }

  /** How often it was started again. */
  get restarts(): number {
    return this.#restarts;
  }

  /** Resolves when the service listens, or with the reason why it never did. */
  start(): Promise<StartFailure | undefined> {
    const { name, instance, environment, output } = this.#options;
    return new Promise(resolve => {
      const startedAt = performance.now();
      let wasReady = false;
      // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, which then ends its services.
      const child = spawn(process.execPath, ["--conditions=trunkline-source", entry, name, String(instance)], {
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        detached: true,
        env: environment,
      });
      this.#child = child;
      if (child.stdout !== null) this.#forward(child.stdout, output.stdout);
      if (child.stderr !== null) this.#forward(child.stderr, output.stderr);
      child.once("message", () => {
        wasReady = true;
        this.#isReady = true;
        if (child.pid !== undefined) this.#options.onReady?.(child.pid);
        resolve(undefined);
      });
      child.once("error", error => output.stderr.write(`${this.#prefix(output.stderr)} ${error.message}\n`));
      child.once("exit", () => {
        this.#isReady = false;
        this.#options.onEnded?.();
      });
      child.once("close", (code, signal) => {
        this.#child = undefined;
        const isFirst = !wasReady;
        if (isFirst) resolve(code === portTakenExitCode ? "port-taken" : "failed");
        if (this.#isStopping) return;
        if (isFirst && this.#restart === undefined) return;
        this.#startAgain(`ended with ${signal ?? `exit code ${code}`}`, performance.now() - startedAt);
      });
    });
  }

  /** Asks the service to finish its calls and end; resolves when it has. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    clearTimeout(this.#restart);
    const child = this.#child;
    if (child === undefined) return;
    const closed = new Promise(resolve => child.once("close", resolve));
    child.kill("SIGTERM");
    // A process that somebody has paused would hear of it only when it goes on. Windows has no such signals.
    if (process.platform !== "win32") child.kill("SIGCONT");
    await closed;
  }

  /** Sends a signal to the process that runs now. Answers whether there was one. */
  signal(signal: NodeJS.Signals): boolean {
    return this.#child?.kill(signal) ?? false;
  }

  /** Ends the service at once. */
  kill(): void {
    this.signal("SIGKILL");
  }

  #startAgain(reason: string, livedMs: number): void {
    const { stderr } = this.#options.output;
    if (livedMs >= stableAfterMs) this.#restartDelayMs = restartDelayMinMs;
    const delayMs = this.#restartDelayMs;
    this.#restartDelayMs = Math.min(delayMs * 2, restartDelayMaxMs);
    stderr.write(`${this.#prefix(stderr)} ${reason}; starts again in ${delayMs} ms\n`);
    this.#restart = setTimeout(() => {
      this.#restarts++;
      void this.start();
    }, delayMs);
  }

  #forward(source: Readable, target: Writable): void {
    createInterface({ input: source }).on("line", line => target.write(`${this.#prefix(target)} ${line}\n`));
  }
}
