import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "../command.ts";
import { shown } from "../event-view.ts";
import { contractOption, KnownEvents } from "../known-events.ts";
import { printable, printableJson } from "../printable.ts";
import { wholeLetterView } from "./letter-view.ts";
import { MissingIds, selectionOf } from "./selection.ts";

export const show: Command = {
  name: "dead-letters show",
  summary: "Show all that is known of dead letters, with the body and the exception.",
  usage: "<id…>",
  description: [
    "With a contract the body is read as a consumer would read it now, and what would keep a handler from getting it is said:",
    "whether a replay can succeed is seen before it is tried.",
  ].join("\n"),
  options: {
    ...brokerOptions,
    group: { short: "g", value: "group", help: "The group, where the broker has to look through many." },
    ...contractOption,
    json: { help: "One JSON object a line." },
  },
  examples: [
    "trunkline dead-letters show 0198c0de-0000-7000-8000-000000000001 --contract proto",
    "trunkline dead-letters show 0198c0de-0000-7000-8000-000000000001 --json",
  ],
  run: runShow,
};

async function runShow(input: CommandInput, terminal: Terminal): Promise<void> {
  if (input.arguments.length === 0) throw new UsageError("name the id of a dead letter, as dead-letters list shows it");
  const filter = selectionOf(input, terminal);
  const known = await KnownEvents.of(input, terminal);
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    const missing = new MissingIds(filter);
    let isFirst = true;
    for await (const letter of broker.deadLetters(filter)) {
      missing.found(letter);
      const view = await wholeLetterView(letter, known);
      if (input.one("json") !== undefined) await terminal.out(`${printableJson(view)}\n`);
      else await terminal.out(`${isFirst ? "" : "\n"}${sheet(view)}`);
      isFirst = false;
    }
    if (missing.message !== undefined) throw new CommandError(missing.message);
  });
}

/** One line for each that is known, longer things below their name. */
function sheet(view: Readonly<Record<string, unknown>>): string {
  const { body, exception, headers, ...short } = view;
  const lines = Object.entries(short)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${`${title(name)}:`.padEnd(17)}${shown(String(value))}`);
  for (const [name, value] of Object.entries((headers ?? {}) as Readonly<Record<string, string>>)) {
    lines.push(`${"header:".padEnd(17)}${printable(name)}=${printable(value)}`);
  }
  if (typeof exception === "string") lines.push("exception:", ...indented(exception.split("\n").map(printable)));
  if (body !== undefined) lines.push("body:", ...indented(printableJson(body, 2).split("\n")));
  return `${lines.join("\n")}\n`;
}

function title(name: string): string {
  return name.replaceAll("_", " ");
}

function indented(lines: readonly string[]): readonly string[] {
  return lines.map(line => `  ${line}`);
}
