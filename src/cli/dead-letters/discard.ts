import type { Broker, DeadLetterFilter } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "../command.ts";
import { printableJson } from "../printable.ts";
import { Progress } from "../progress.ts";
import { letterLine, letterView } from "./letter-view.ts";
import { allOption, MissingIds, refuseEverything, selectionOf, selectionOptions } from "./selection.ts";

export const discard: Command = {
  name: "dead-letters discard",
  summary: "Delete dead letters for ever.",
  usage: "[id…]",
  description: "Asks first, unless --yes is given. Those that die while this runs are left alone.",
  options: {
    ...brokerOptions,
    ...selectionOptions,
    ...allOption,
    yes: { short: "y", help: "Do not ask." },
    "dry-run": { help: "Show what would be deleted, and delete nothing." },
    json: { help: "One JSON object a line for each." },
  },
  examples: [
    "trunkline dead-letters discard 0198c0de-0000-7000-8000-000000000001 --yes",
    "trunkline dead-letters discard --group order-processor --reason expired --dry-run",
  ],
  run: runDiscard,
};

async function runDiscard(input: CommandInput, terminal: Terminal): Promise<void> {
  const filter = selectionOf(input, terminal);
  refuseEverything(input, filter);
  const isDryRun = input.one("dry-run") !== undefined;
  const startedMs = terminal.platform.clock.wall();
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    if (!isDryRun && input.one("yes") === undefined) await confirm(broker, filter, startedMs, terminal);
    const progress = new Progress("deleted", terminal);
    const missing = new MissingIds(filter);
    let count = 0;
    try {
      for await (const letter of broker.deadLetters(filter)) {
        if (letter.diedAtMs >= startedMs) continue;
        missing.found(letter);
        if (terminal.signal.aborted) break;
        if (!isDryRun) await letter.discard();
        count++;
        progress.add();
        if (input.one("json") !== undefined) await terminal.out(`${printableJson(letterView(letter))}\n`);
        else await terminal.out(`${isDryRun ? "would delete" : "deleted"} ${letterLine(letter)}\n`);
      }
    } finally {
      progress.end();
    }
    const done = isDryRun ? `${count} would be deleted` : `${count} deleted`;
    if (terminal.signal.aborted) throw new CommandError(`stopped: ${done}, the others are as they were`);
    terminal.error(`${done}\n`);
    if (missing.message !== undefined) throw new CommandError(missing.message);
  });
}

/** @throws UsageError when nobody can be asked; CommandError for any answer but yes */
async function confirm(
  broker: Broker,
  filter: DeadLetterFilter,
  startedMs: number,
  { ask, error }: Terminal,
): Promise<void> {
  let count = 0;
  for await (const letter of broker.deadLetters(filter)) {
    if (letter.diedAtMs >= startedMs) continue;
    count++;
    if (count <= 5) error(`${letterLine(letter)}\n`);
  }
  // Nothing to ask about: what follows says so.
  if (count === 0) return;
  if (count > 5) error(`… and ${count - 5} more\n`);
  const what = count === 1 ? "this dead letter" : `these ${count} dead letters`;
  const answer = await ask(`Delete ${what} for ever? [y/N] `);
  if (answer === undefined) throw new UsageError("there is nobody to ask; say --yes, or look with --dry-run");
  if (!/^\s*y(?:es)?\s*$/i.test(answer)) throw new CommandError("nothing was deleted");
}
