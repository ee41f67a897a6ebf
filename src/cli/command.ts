import { type ParseArgsOptionsConfig, parseArgs } from "node:util";
import type { Platform, Variables } from "../platform/index.ts";

/** Where a command speaks. Text is whole lines, except for documents, which are written as they are. */
export interface Terminal {
  /** A command that writes without end waits for the promise, where there is one: nobody has read what it wrote before. */
  readonly out: (text: string) => void | Promise<void>;
  readonly error: (text: string) => void;
  /** What relative paths mean. */
  readonly folder: string;
  readonly readInput: () => Promise<Uint8Array>;
  readonly environment: Variables;
  readonly platform: Platform;
  /**
   * Aborted when the user wants the command to end (Ctrl-C), and when nobody reads what it writes. Only a command that looks
   * at it is asked; others are ended.
   */
  readonly signal: AbortSignal;
  /** Whether somebody watches `error`: for progress. */
  readonly isWatched: boolean;
  /** The answer to a question, a line; `undefined` when nobody is there who could give one. */
  readonly ask: (question: string) => Promise<string | undefined>;
}

export interface OptionRule {
  readonly short?: string;
  /** What its value is called in the help; an option without is a switch. */
  readonly value?: string;
  /** May be given more than once. */
  readonly isMultiple?: true;
  readonly help: string;
  /** What the value may be. */
  readonly choices?: readonly string[];
}

/** What a command was called with: the values of each option, in order; a switch has the value `"true"`. */
export class CommandInput {
  readonly arguments: readonly string[];
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(args: readonly string[], values: ReadonlyMap<string, readonly string[]>) {
    this.arguments = args;
    this.#values = values;
  }

  all(option: string): readonly string[] {
    return this.#values.get(option) ?? [];
  }

  one(option: string): string | undefined {
    return this.#values.get(option)?.at(-1);
  }
}

export interface Command {
  /** One word, or two for a command of a family: `events tail`. */
  readonly name: string;
  /** One line for the list of commands. */
  readonly summary: string;
  /** The arguments, as in `<contract…>`. */
  readonly usage: string;
  /** What the arguments mean, one paragraph. */
  readonly description: string;
  readonly options: Readonly<Record<string, OptionRule>>;
  readonly examples: readonly string[];
  readonly run: (input: CommandInput, terminal: Terminal) => Promise<void>;
}

/** The command line itself is wrong: exit code 2. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}

/** What the command was to do cannot be done; the message is for its user and says the way out: exit code 1. */
export class CommandError extends Error {
  override readonly name = "CommandError";
}

/** @throws UsageError for an option that the command does not have, and for a value that is missing or not a choice */
export function parseInput(command: Command, args: readonly string[]): CommandInput {
  const options: ParseArgsOptionsConfig = {};
  for (const [name, { short, value }] of Object.entries(command.options)) {
    const type = value === undefined ? "boolean" : "string";
    options[name] = { type, multiple: true, ...(short === undefined ? {} : { short }) };
  }
  const { values, positionals } = parse(args, options);
  const given = new Map<string, readonly string[]>();
  for (const [name, rule] of Object.entries(command.options)) {
    const found = ((values[name] ?? []) as readonly (string | boolean)[]).map(String);
    if (found.length > 1 && rule.isMultiple !== true) throw new UsageError(`--${name} was given ${found.length} times`);
    for (const value of found) {
      if (rule.choices?.includes(value) === false) {
        throw new UsageError(`--${name} is "${value}"; it can be ${rule.choices.join(", ")}`);
      }
    }
    if (found.length > 0) given.set(name, found);
  }
  return new CommandInput(positionals, given);
}

function parse(args: readonly string[], options: ParseArgsOptionsConfig) {
  try {
    return parseArgs({ args: [...args], options, allowPositionals: true, strict: true });
  } catch (cause) {
    // Node's message is good in its first sentence; the rest explains how to give a positional that begins with a dash.
    const message = cause instanceof Error ? (cause.message.split(/\. |\n/, 1)[0] ?? "") : String(cause);
    throw new UsageError(message.charAt(0).toLowerCase() + message.slice(1), { cause });
  }
}
