import { type ChildProcess, spawn } from "node:child_process";
import process from "node:process";

/** The programs of other people that a run has started; all are ended with it, also when it is interrupted. */
export class Children implements Disposable {
  readonly #running = new Set<ChildProcess>();
  readonly #killAll = (): void => {
    for (const child of this.#running) child.kill("SIGKILL");
  };
  readonly #interrupted = (): void => {
    this[Symbol.dispose]();
    process.exit(130);
  };

  constructor() {
    process.once("SIGINT", this.#interrupted).once("SIGTERM", this.#interrupted);
    // `process.exit` disposes of nothing.
    process.once("exit", this.#killAll);
  }

  start(command: string, args: readonly string[], env: Readonly<Record<string, string>> = {}): ChildProcess {
    const child = spawn(command, args, { env: { ...process.env, ...env }, stdio: ["ignore", "pipe", "pipe"] });
    this.#running.add(child);
    child.once("close", () => this.#running.delete(child));
    return child;
  }

  /** Starts a program and resolves with the first line it prints; rejects with its output when it ends before. */
  firstLine(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string> {
    const child = this.start(command, args, env);
    return new Promise((resolve, reject) => {
      let output = "";
      const take = (text: string): void => {
        output += text;
        const end = output.indexOf("\n");
        if (end !== -1) resolve(output.slice(0, end));
      };
      child.stdout?.setEncoding("utf8").on("data", take);
      child.stderr?.setEncoding("utf8").on("data", take);
      child.once("error", reject).once("close", () => reject(new Error(`${command} ended: ${output}`)));
    });
  }

  /** Runs a program to its end; rejects with its output when it fails or takes longer than a minute. */
  run(command: string, args: readonly string[], env?: Readonly<Record<string, string>>): Promise<string> {
    const child = this.start(command, args, env);
    return new Promise((resolve, reject) => {
      let output = "";
      for (const stream of [child.stdout, child.stderr]) {
        stream?.setEncoding("utf8").on("data", (text: string) => {
          output += text;
        });
      }
      const timer = setTimeout(() => child.kill("SIGKILL"), 60_000);
      child.once("error", reject).once("close", code => {
        clearTimeout(timer);
        if (code === 0) resolve(output);
        else reject(new Error(`exit code ${code}: ${output.trim().slice(-500)}`));
      });
    });
  }

  [Symbol.dispose](): void {
    process.off("SIGINT", this.#interrupted).off("SIGTERM", this.#interrupted).off("exit", this.#killAll);
    this.#killAll();
  }
}
