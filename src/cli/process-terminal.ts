import { once } from "node:events";
import { createInterface } from "node:readline/promises";
import { systemPlatform } from "../platform/index.ts";
import type { Terminal } from "./command.ts";

/** A signal that comes so soon after the first is the same request: npm passes it on beside the terminal. */
const sameRequestMs = 1_000;

/** The terminal, or the pipes and files, of this process. */
export function processTerminal(): Terminal {
  const ending = new AbortController();
  let isListening = false;
  // Who reads the first lines only, such as head, has closed the pipe: that ends the command and is no failure.
  process.stdout.on("error", () => ending.abort());
  process.stderr.on("error", () => {});
  return {
    out: text => {
      if (ending.signal.aborted || process.stdout.write(text)) return;
      return once(process.stdout, "drain", { signal: ending.signal }).then(
        () => {},
        () => {},
      );
    },
    error: text => void process.stderr.write(text),
    folder: process.cwd(),
    readInput: async () => Buffer.concat(await Array.fromAsync<Buffer>(process.stdin)),
    environment: process.env,
    platform: systemPlatform,
    get signal() {
      if (!isListening) endOnSignals(ending);
      isListening = true;
      return ending.signal;
    },
    isWatched: process.stderr.isTTY === true,
    ask: async question => {
      if (process.stdin.isTTY !== true) return undefined;
      const lines = createInterface({ input: process.stdin, output: process.stderr });
      try {
        return await lines.question(question);
      } catch {
        // Ctrl-C or Ctrl-D instead of an answer.
        return undefined;
      } finally {
        lines.close();
      }
    },
  };
}

/** Lets the command end as it should; who asks again later wants it to end at once. */
function endOnSignals(ending: AbortController): void {
  let firstMs: number | undefined;
  const end = () => {
    const nowMs = systemPlatform.clock.now();
    firstMs ??= nowMs;
    if (nowMs - firstMs > sameRequestMs) process.exit(130);
    ending.abort();
  };
  process.on("SIGINT", end);
  process.on("SIGTERM", end);
}
