import { asyncapi } from "./asyncapi.ts";
import { type Command, CommandError, parseInput, type Terminal, UsageError } from "./command.ts";
import { completion } from "./completion.ts";
import { deadLetterCommands } from "./dead-letters/index.ts";
import { eventCommands } from "./events/index.ts";
import { generate } from "./generate.ts";
import { commandHelp, familyHelp, overview } from "./help.ts";
import { openapi } from "./openapi.ts";
import { packageVersion } from "./package-folder.ts";
import { printable } from "./printable.ts";

/** In the order of the help. A command loads what it needs when it runs. */
export const commands: readonly Command[] = [
  generate,
  openapi,
  asyncapi,
  ...eventCommands,
  ...deadLetterCommands,
  completion(() => commands),
];

/**
 * Runs a command line, without the name of the program.
 * @returns the exit code: 0, 1 for a failure, 2 for a command line that makes no sense
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  const [first] = args;
  if (first === undefined) {
    // Nothing was asked for, so nothing was done.
    terminal.error(overview(commands));
    return 2;
  }
  if (first === "--version" || first === "-v") {
    terminal.out(`${packageVersion()}\n`);
    return 0;
  }
  if (first === "--help" || first === "-h" || first === "help") {
    terminal.out(helpOn(args.slice(1)));
    return 0;
  }
  const command = commandOf(args);
  if (command === undefined) return explained(args, terminal);
  const rest = args.slice(command.name.split(" ").length);
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.out(commandHelp(command));
    return 0;
  }
  const { name } = command;
  try {
    await command.run(parseInput(command, rest), terminal);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) {
      terminal.error(`trunkline ${name}: ${error.message}; see trunkline ${name} --help\n`);
      return 2;
    }
    // Whatever is no message for the user is a fault of ours, or of a module that the user named: show where.
    const text = error instanceof CommandError ? error.message : error instanceof Error ? error.stack : String(error);
    terminal.error(`trunkline ${name}: ${text}\n`);
    return 1;
  }
}

/** The command that a command line begins with. */
function commandOf(args: readonly string[]): Command | undefined {
  return commands.find(({ name }) => name.split(" ").every((word, index) => args[index] === word));
}

/** The commands of a family such as `events`. */
function familyOf(word: string | undefined): readonly Command[] {
  return commands.filter(({ name }) => name.startsWith(`${word} `));
}

function helpOn(words: readonly string[]): string {
  const command = commandOf(words);
  if (command !== undefined) return commandHelp(command);
  const family = familyOf(words[0]);
  return family.length === 0 ? overview(commands) : familyHelp(words[0] as string, family);
}

/** For a command line that begins with no command: the help of a family, or what is wrong. */
function explained([first = "", second]: readonly string[], terminal: Terminal): 0 | 2 {
  const family = familyOf(first);
  if (family.length > 0 && (second === "--help" || second === "-h")) {
    terminal.out(familyHelp(first, family));
    return 0;
  }
  if (family.length > 0 && second === undefined) {
    terminal.error(familyHelp(first, family));
    return 2;
  }
  const what = first.startsWith("-") ? "option" : "command";
  const [name, place] = family.length > 0 ? [`${first} ${second}`, ` ${first}`] : [first, ""];
  terminal.error(`trunkline: there is no ${what} "${printable(name)}"; see trunkline${place} --help\n`);
  return 2;
}
