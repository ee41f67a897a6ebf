import type { Command, OptionRule } from "./command.ts";

const always: Readonly<Record<string, OptionRule>> = { help: { short: "h", help: "This text." } };

/** What `trunkline --help` says. */
export function overview(commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }): readonly [string, string] => [name, summary]);
  return `${[
    "Usage: trunkline <command> [options]",
    "",
    "Commands:",
    ...columns(rows),
    "",
    "Options:",
    ...columns([
      ["-h, --help", "This text; trunkline <command> --help for a command."],
      ["-v, --version", "The version of trunkline."],
    ]),
    "",
    "Exit codes: 0 done, 1 failed, 2 wrong usage.",
  ].join("\n")}\n`;
}

/** What `trunkline <family> --help` says of commands that share their first word. */
export function familyHelp(family: string, commands: readonly Command[]): string {
  const rows = commands.map(({ name, summary }): readonly [string, string] => [name, summary]);
  return `${[
    `Usage: trunkline ${family} <command> [options]`,
    "",
    "Commands:",
    ...columns(rows),
    "",
    `trunkline ${family} <command> --help says more of each.`,
  ].join("\n")}\n`;
}

/** What `trunkline <command> --help` says. */
export function commandHelp(command: Command): string {
  const rows = Object.entries({ ...command.options, ...always }).map(([name, rule]): readonly [string, string] => [
    optionText(name, rule),
    rule.help,
  ]);
  return `${[
    `Usage: trunkline ${command.name}${command.usage === "" ? "" : ` ${command.usage}`} [options]`,
    "",
    command.description,
    "",
    "Options:",
    ...columns(rows),
    "",
    command.examples.length === 1 ? "Example:" : "Examples:",
    ...command.examples.map(example => `  ${example}`),
  ].join("\n")}\n`;
}

function optionText(name: string, { short, value }: OptionRule): string {
  return `${short === undefined ? "    " : `-${short}, `}--${name}${value === undefined ? "" : ` <${value}>`}`;
}

function columns(rows: readonly (readonly [string, string])[]): readonly string[] {
  const width = Math.max(...rows.map(([left]) => left.length));
  return rows.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
