import { writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { CommandError, type CommandInput, type OptionRule, type Terminal } from "./command.ts";

/** The options of commands that print a document. */
export const outputOptions = {
  output: { short: "o", value: "file", help: "Write to this file (default: standard output)." },
  compact: { help: "All in one line." },
} as const satisfies Readonly<Record<string, OptionRule>>;

/** Writes a document as JSON to where the user wants it. @throws CommandError */
export function writeDocument(document: object, input: CommandInput, terminal: Terminal): void {
  const text = `${JSON.stringify(document, undefined, input.one("compact") === undefined ? 2 : undefined)}\n`;
  const output = input.one("output");
  if (output === undefined) {
    terminal.out(text);
    return;
  }
  const file = resolve(terminal.folder, output);
  try {
    writeFileSync(file, text);
  } catch (cause) {
    throw new CommandError(`cannot write ${file}: ${cause instanceof Error ? cause.message : String(cause)}`, {
      cause,
    });
  }
}
