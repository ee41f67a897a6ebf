/**
 * The program `trunkline`: one file for each command, with its options, help and examples. The topmost layer: it may import
 * all others, and only here may the environment be read. Start at `main.ts`; `bin.ts` is what runs.
 */
export { type Command, CommandError, type Terminal, UsageError } from "./command.ts";
export { commands, main } from "./main.ts";
