import { systemPlatform } from "../platform/index.ts";
import type { Terminal } from "./command.ts";
import { main } from "./main.ts";

/** What a command line did. */
export interface Recorded {
  readonly exitCode: 0 | 1 | 2;
  readonly out: string;
  readonly error: string;
}

/** Runs a command line as a user in `folder` would, with `input` on its standard input, and nobody to ask. */
export async function run(
  folder: string,
  args: readonly string[],
  input: Uint8Array = Buffer.of(),
  terminal: Partial<Terminal> = {},
): Promise<Recorded> {
  let out = "";
  let error = "";
  const exitCode = await main(args, {
    out: text => {
      out += text;
    },
    error: text => {
      error += text;
    },
    folder,
    readInput: async () => input,
    environment: {},
    platform: systemPlatform,
    signal: new AbortController().signal,
    isWatched: false,
    ask: async () => undefined,
    ...terminal,
  });
  return { exitCode, out, error };
}
