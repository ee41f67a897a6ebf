import { type ChildProcessByStdio, spawn } from "node:child_process";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { benchFolder } from "./folders.ts";

/** A server that did not come up, or a load that takes this much longer than it should, has failed. */
const lineTimeoutMs = 60_000;

/** A process of ours that prints one JSON value per line; other lines are passed over. */
export class JsonProcess {
  readonly #child: ChildProcessByStdio<Writable, Readable, Readable>;
  readonly #lines: unknown[] = [];
  readonly #exited: Promise<void>;
  #wake: () => void = () => {};
  #ended = false;
  #errorText = "";

  constructor(command: readonly string[], environment: Readonly<Record<string, string>> = {}) {
    const [program = "", ...args] = command;
    this.#child = spawn(program, args, {
      cwd: benchFolder,
      env: { ...process.env, ...environment },
      stdio: ["pipe", "pipe", "pipe"],
    });
    // Writing to a process that is gone is reported by its end.
    this.#child.stdin.on("error", () => {});
    this.#child.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#errorText = (this.#errorText + text).slice(-4_000);
    });
    createInterface({ input: this.#child.stdout }).on("line", line => {
      if (!line.startsWith("{")) return;
      this.#lines.push(JSON.parse(line));
      this.#wake();
    });
    this.#exited = new Promise(resolve => {
      const end = (reason: string) => {
        this.#ended = true;
        this.#errorText ||= reason;
        this.#wake();
        resolve();
      };
      this.#child.on("error", error => end(error.message));
      this.#child.on("close", code => end(`ended with code ${code}`));
    });
  }

  /** The next JSON line. @throws Error with the end of stderr when the process ends, or is silent too long. */
  async next<T>(): Promise<T> {
    const until = Date.now() + lineTimeoutMs;
    while (this.#lines.length === 0) {
      if (this.#ended) throw new Error(this.#errorText.trim());
      if (Date.now() > until) throw new Error(`silent for ${lineTimeoutMs} ms. ${this.#errorText}`);
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, 1_000);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#lines.shift() as T;
  }

  async ask<T>(line: string): Promise<T> {
    this.#child.stdin.write(`${line}\n`);
    return this.next<T>();
  }

  /** Closes stdin, by which the process knows that it is no longer needed; kills it when it does not leave. */
  async stop(): Promise<void> {
    if (this.#ended) return;
    this.#child.stdin.end();
    const timer = setTimeout(() => this.#child.kill("SIGKILL"), 3_000);
    await this.#exited;
    clearTimeout(timer);
  }
}
