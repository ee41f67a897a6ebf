import { type ChildProcess, spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { styleText } from "node:util";
import type { ServiceName } from "./services.ts";

const entry = join(import.meta.dirname, "serve.ts");
const colours = ["cyan", "magenta", "yellow", "green", "blue"] as const;
/** The exit code by which `serve.ts` says that its port is taken. */
const portTakenExitCode = 98;
const restartDelayMinMs = 250;
const restartDelayMaxMs = 10_000;
/** A process that lived this long begins with the shortest delay again. */
const stableAfterMs = 30_000;

export type StartFailure = "port-taken" | "failed";

/** One service as a child process: its lines get a prefix, and when it dies after its start it is started again. */
export class ServiceProcess {
  readonly #name: ServiceName;
  readonly #prefix: (stream: Writable) => string;
  #child: ChildProcess | undefined;
  #isStopping = false;
  #restart: NodeJS.Timeout | undefined;
  #restartDelayMs = restartDelayMinMs;

  constructor(name: ServiceName, index: number) {
    this.#name = name;
    const colour = colours[index % colours.length] ?? "cyan";
    this.#prefix = stream => styleText(colour, `[${name}]`, { stream });
  }

  /** Resolves when the service listens, or with the reason why it never did. */
  start(): Promise<StartFailure | undefined> {
    return new Promise(resolve => {
      const startedAt = performance.now();
      let wasReady = false;
      // A process group of its own: Ctrl-C in a terminal reaches the supervisor alone, which then ends its services.
      const child = spawn(process.execPath, ["--conditions=trunkline-source", entry, this.#name], {
        stdio: ["ignore", "pipe", "pipe", "ipc"],
        detached: true,
      });
      this.#child = child;
      if (child.stdout !== null) this.#forward(child.stdout, process.stdout);
      if (child.stderr !== null) this.#forward(child.stderr, process.stderr);
      child.once("message", () => {
        wasReady = true;
        resolve(undefined);
      });
      child.once("error", error => process.stderr.write(`${this.#prefix(process.stderr)} ${error.message}\n`));
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
    await closed;
  }

  /** Ends the service at once. */
  kill(): void {
    this.#child?.kill("SIGKILL");
  }

  #startAgain(reason: string, livedMs: number): void {
    if (livedMs >= stableAfterMs) this.#restartDelayMs = restartDelayMinMs;
    const delayMs = this.#restartDelayMs;
    this.#restartDelayMs = Math.min(delayMs * 2, restartDelayMaxMs);
    process.stderr.write(`${this.#prefix(process.stderr)} ${reason}; starts again in ${delayMs} ms\n`);
    this.#restart = setTimeout(() => void this.start(), delayMs);
  }

  #forward(source: Readable, target: Writable): void {
    createInterface({ input: source }).on("line", line => target.write(`${this.#prefix(target)} ${line}\n`));
  }
}
