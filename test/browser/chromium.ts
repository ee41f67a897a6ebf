import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const flags = [
  "--headless",
  "--no-sandbox",
  "--disable-gpu",
  "--disable-quic",
  "--disable-dev-shm-usage",
  "--no-first-run",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  // The server's certificate is made for the test.
  "--ignore-certificate-errors",
];

/** A headless Chromium that shows one page, with a profile of its own. */
export class Chromium implements AsyncDisposable {
  readonly #profile = mkdtempSync(join(tmpdir(), "trunkline-chromium-"));
  readonly #child: ChildProcess;
  readonly #ended: Promise<unknown>;
  #output = "";

  constructor(path: string, url: string) {
    // A group of its own: its many processes end together.
    const child = spawn(path, [...flags, `--user-data-dir=${this.#profile}`, url], {
      detached: true,
      stdio: ["ignore", "pipe", "pipe"],
    });
    for (const stream of [child.stdout, child.stderr]) {
      stream.on("data", chunk => {
        this.#output += chunk;
      });
    }
    this.#child = child;
    this.#ended = new Promise(resolve => child.on("close", resolve));
  }

  /** Rejects when the browser ends, with what it said. */
  async untilEnded(): Promise<never> {
    const code = await this.#ended;
    throw new Error(`Chromium ended with ${code}:\n${this.output}`);
  }

  get output(): string {
    return this.#output.slice(-4_000);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { pid, exitCode, signalCode } = this.#child;
    if (pid !== undefined && exitCode === null && signalCode === null) process.kill(-pid, "SIGKILL");
    await this.#ended;
    rmSync(this.#profile, { recursive: true, force: true, maxRetries: 5 });
  }
}
