import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";

/** A command that has not ended by then never will. */
const timeoutMs = 30_000;
/** What a server gets to stop in. */
const stopMs = 10_000;

export interface Ended {
  readonly exitCode: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function start(command: string, folder: string, env: NodeJS.ProcessEnv): ChildProcess {
  return spawn("bash", ["-c", command], { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"], detached: true });
}

/** Ends a command and what it started. */
function kill(child: ChildProcess, signal: NodeJS.Signals): void {
  if (child.pid === undefined || child.exitCode !== null || child.signalCode !== null) return;
  process.kill(-child.pid, signal);
}

function collect(child: ChildProcess): { stdout: string; stderr: string } {
  const output = { stdout: "", stderr: "" };
  child.stdout?.setEncoding("utf8").on("data", (text: string) => {
    output.stdout += text;
  });
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    output.stderr += text;
  });
  return output;
}

/** Runs a shell command to its end. @throws Error when it takes longer than 30 s */
export async function run(command: string, folder: string, env: NodeJS.ProcessEnv): Promise<Ended> {
  const child = start(command, folder, env);
  const output = collect(child);
  let isLate = false;
  const timer = setTimeout(() => {
    isLate = true;
    kill(child, "SIGKILL");
  }, timeoutMs);
  await once(child, "close");
  clearTimeout(timer);
  if (isLate) throw new Error(`did not end within ${timeoutMs} ms: ${command}\n${output.stdout}${output.stderr}`);
  return { exitCode: child.exitCode, ...output };
}

/** A server of a page, from its first line of output until `stop`. */
export class RunningServer {
  readonly #child: ChildProcess;
  readonly #output: { stdout: string; stderr: string };

  private constructor(child: ChildProcess) {
    this.#child = child;
    this.#output = collect(child);
  }

  /** Resolves when it has printed its first line. @throws Error when it ends before, or prints nothing for 30 s */
  static async start(command: string, folder: string, env: NodeJS.ProcessEnv): Promise<RunningServer> {
    const child = start(`exec ${command}`, folder, env);
    const server = new RunningServer(child);
    const ready = Promise.withResolvers<void>();
    const fail = (why: string) => () => ready.reject(new Error(`${command} ${why}\n${server.#output.stderr}`));
    const timer = setTimeout(fail(`printed nothing within ${timeoutMs} ms`), timeoutMs);
    child.stdout?.on("data", () => {
      if (server.#output.stdout.includes("\n")) ready.resolve();
    });
    child.once("close", fail("ended before it was ready"));
    try {
      await ready.promise;
    } catch (error) {
      kill(child, "SIGKILL");
      throw error;
    } finally {
      clearTimeout(timer);
    }
    return server;
  }

  get stdout(): string {
    return this.#output.stdout;
  }

  /** Asks it to end as an orchestrator does. @throws Error when it does not */
  async stop(): Promise<void> {
    if (this.#child.exitCode !== null) throw new Error(`the server ended by itself\n${this.#output.stderr}`);
    const closed = once(this.#child, "close");
    kill(this.#child, "SIGTERM");
    const timer = setTimeout(() => kill(this.#child, "SIGKILL"), stopMs);
    await closed;
    clearTimeout(timer);
    if (this.#child.signalCode === "SIGKILL") throw new Error(`the server did not end within ${stopMs} ms of SIGTERM`);
  }
}
