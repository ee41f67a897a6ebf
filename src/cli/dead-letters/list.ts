import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal } from "../command.ts";
import { contractOption, KnownEvents } from "../known-events.ts";
import { printableJson } from "../printable.ts";
import { letterLine, wholeLetterView } from "./letter-view.ts";
import { MissingIds, selectionOf, selectionOptions } from "./selection.ts";

export const list: Command = {
  name: "dead-letters list",
  summary: "List dead letters: events that a group has given up.",
  usage: "[id…]",
  description: "Those of a group come in the order in which they died. Nothing is changed.",
  options: {
    ...brokerOptions,
    ...selectionOptions,
    ...contractOption,
    json: { help: "One JSON object a line, bodies included; with a contract, whether they would be readable now." },
  },
  examples: [
    "trunkline dead-letters list --broker sqlite:./events.db",
    "trunkline dead-letters list --group order-processor --reason attempts --since 1h",
    "trunkline dead-letters list --key 123 --json --contract proto",
  ],
  run: runList,
};

async function runList(input: CommandInput, terminal: Terminal): Promise<void> {
  const filter = selectionOf(input, terminal);
  const known = await KnownEvents.of(input, terminal);
  const isJson = input.one("json") !== undefined;
  const { signal } = terminal;
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    const missing = new MissingIds(filter);
    let count = 0;
    for await (const letter of broker.deadLetters(filter)) {
      if (signal.aborted) return;
      count++;
      missing.found(letter);
      await terminal.out(`${isJson ? printableJson(await wholeLetterView(letter, known)) : letterLine(letter)}\n`);
    }
    if (missing.message !== undefined) throw new CommandError(missing.message);
    if (count === 0) terminal.error("no dead letters\n");
  });
}
