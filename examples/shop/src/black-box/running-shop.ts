/** For tests: the shop as a user runs it, in processes of its own. */
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable } from "node:stream";

export interface RunningShop {
  readonly child: ChildProcessByStdio<null, Readable, Readable>;
  /** Exit code and signal, when it has ended. */
  readonly closed: Promise<[number | null, string | null]>;
  /** What it has written to its standard error. */
  readonly errors: () => string;
  /** All that it writes to its standard output, when it has ended. */
  readonly output: () => Promise<string>;
  /** Resolves with the next line that holds the text. @throws (rejects) with the errors when it ends without it */
  readonly until: (text: string) => Promise<string>;
  /** The same of its standard error. */
  readonly untilError: (text: string) => Promise<string>;
}

/**
 * Runs a file of the shop.
 * @param file `start.ts`, `serve.ts` or `chaos.ts`
 * @param offset its `PORT_OFFSET`: one for each test file, because those run at the same time; negative, so that the ports
 *   are below those that systems give to connections (from 32,768 on Linux)
 */
export function runShop(
  file: "start.ts" | "serve.ts" | "chaos.ts",
  offset: number,
  parameters: readonly string[] = [],
  environment: Readonly<Record<string, string>> = {},
): RunningShop {
  const child = spawn(
    process.execPath,
    ["--conditions=trunkline-source", join(import.meta.dirname, "..", file), ...parameters],
    {
      env: { ...process.env, PORT_OFFSET: String(offset), HOST: "127.0.0.1", ...environment },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const closed = once(child, "close") as Promise<[number | null, string | null]>;
  let errors = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    errors += text;
  });
  const lines = createInterface({ input: child.stdout });
  const errorLines = createInterface({ input: child.stderr });
  const untilOf = (source: typeof lines) => {
    const waiting = new Set<(line: string | undefined) => void>();
    // Lines are read on: a pipe that nobody empties would hold the shop up.
    source.on("line", line => {
      for (const told of waiting) told(line);
    });
    source.on("close", () => {
      for (const told of waiting) told(undefined);
    });
    return (text: string) =>
      new Promise<string>((resolve, reject) => {
        const told = (line: string | undefined): void => {
          if (line?.includes(text) === false) return;
          waiting.delete(told);
          if (line === undefined) reject(new Error(`${file} ended without "${text}": ${errors}`));
          else resolve(line);
        };
        waiting.add(told);
      });
  };
  const written: string[] = [];
  lines.on("line", line => written.push(line));
  const output = async () => {
    await closed;
    return written.join("\n");
  };
  return { child, closed, errors: () => errors, output, until: untilOf(lines), untilError: untilOf(errorLines) };
}
