import { type Command, CommandError, parseInput, type Terminal, UsageError } from "./command.ts";
import { completion } from "./completion.ts";
import { generate } from "./generate.ts";
import { commandHelp, overview } from "./help.ts";
import { openapi } from "./openapi.ts";
import { packageVersion } from "./package-folder.ts";

/** In the order of the help. A command loads what it needs when it runs. */
export const commands: readonly Command[] = [generate, openapi, completion(() => commands)];

/**
 * Runs a command line, without the name of the program.
 * @returns the exit code: 0, 1 for a failure, 2 for a command line that makes no sense
 */
export async function main(args: readonly string[], terminal: Terminal): Promise<0 | 1 | 2> {
  const [name, ...rest] = args;
  if (name === undefined || name === "--help" || name === "-h" || name === "help") {
    const topic = name === "help" ? commands.find(command => command.name === rest[0]) : undefined;
    const text = topic === undefined ? overview(commands) : commandHelp(topic);
    // Nothing was asked for, so nothing was done.
    (name === undefined ? terminal.error : terminal.out)(text);
    return name === undefined ? 2 : 0;
  }
  if (name === "--version" || name === "-v") {
    terminal.out(`${packageVersion()}\n`);
    return 0;
  }
  const command = commands.find(one => one.name === name);
  if (command === undefined) {
    const what = name.startsWith("-") ? "option" : "command";
    terminal.error(`trunkline: there is no ${what} "${name}"; see trunkline --help\n`);
    return 2;
  }
  if (rest.includes("--help") || rest.includes("-h")) {
    terminal.out(commandHelp(command));
    return 0;
  }
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
