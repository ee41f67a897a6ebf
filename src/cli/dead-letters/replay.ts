import type { HeldLetter } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal } from "../command.ts";
import { shown } from "../event-view.ts";
import { contractOption, KnownEvents } from "../known-events.ts";
import { positiveNumber } from "../option-values.ts";
import { Pace } from "../pace.ts";
import { printable, printableJson } from "../printable.ts";
import { Progress } from "../progress.ts";
import { letterLine, letterView } from "./letter-view.ts";
import { allOption, MissingIds, refuseEverything, selectionOf, selectionOptions } from "./selection.ts";

export const replay: Command = {
  name: "dead-letters replay",
  summary: "Give dead letters back to the group that gave them up, with fresh attempts.",
  usage: "[id…]",
  description: [
    "To no other group. They go one after the other in the order in which they died, so that those of a key keep theirs; where",
    "one fails, the later ones of its key stay. Those that die while this runs are left alone. Ctrl-C ends it between two;",
    "whatever was not replayed is still there.",
  ].join("\n"),
  options: {
    ...brokerOptions,
    ...selectionOptions,
    ...allOption,
    rate: { value: "count", help: "At most so many a second (default: as fast as the broker takes them)." },
    "dry-run": { help: "Show what would be replayed and, with a contract, whether it could be read; change nothing." },
    ...contractOption,
    json: { help: "One JSON object a line for each." },
  },
  examples: [
    "trunkline dead-letters replay 0198c0de-0000-7000-8000-000000000001",
    "trunkline dead-letters replay --group order-processor --key 123",
    "trunkline dead-letters replay --group order-processor --reason attempts --rate 50 --dry-run",
  ],
  run: runReplay,
};

/** What became of the letters. */
interface Outcome {
  replayed: number;
  failed: number;
  /** Behind a failed one of their key. */
  held: number;
  firstError: Error | undefined;
}

async function runReplay(input: CommandInput, terminal: Terminal): Promise<void> {
  const filter = selectionOf(input, terminal);
  refuseEverything(input, filter);
  const isDryRun = input.one("dry-run") !== undefined;
  const rate = positiveNumber(input, "rate");
  const known = await KnownEvents.of(input, terminal);
  const { signal, platform } = terminal;
  const pace = new Pace(isDryRun ? undefined : rate, platform.clock, signal);
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    const startedMs = platform.clock.wall();
    const progress = new Progress("replayed", terminal);
    const missing = new MissingIds(filter);
    const outcome: Outcome = { replayed: 0, failed: 0, held: 0, firstError: undefined };
    const stopped = new Set<string>();
    try {
      for await (const letter of broker.deadLetters(filter)) {
        // What was replayed and died again would come round for ever.
        if (letter.diedAtMs >= startedMs) continue;
        missing.found(letter);
        await pace.next();
        if (signal.aborted) break;
        if (isDryRun) await announce(letter, known, input, terminal);
        else await replayOne(letter, outcome, stopped, input, terminal);
        if (isDryRun) outcome.replayed++;
        progress.add();
      }
    } finally {
      progress.end();
    }
    conclude(outcome, isDryRun, missing.message, terminal);
  });
}

async function announce(
  letter: HeldLetter,
  known: KnownEvents | undefined,
  input: CommandInput,
  { out }: Terminal,
): Promise<void> {
  const judged = await known?.judge(letter);
  if (input.one("json") !== undefined) {
    await out(`${printableJson({ ...letterView(letter), contract: judged?.contract, problem: judged?.problem })}\n`);
    return;
  }
  const verdict =
    judged === undefined
      ? ""
      : judged.problem === undefined
        ? `; readable as ${shown(judged.contract)}`
        : `; it would die again: ${printable(judged.problem)}`;
  await out(`would replay ${letterLine(letter)}${verdict}\n`);
}

async function replayOne(
  letter: HeldLetter,
  outcome: Outcome,
  stopped: Set<string>,
  input: CommandInput,
  terminal: Terminal,
): Promise<void> {
  const { group, topic, key, letterId } = letter;
  const sequence = key === undefined ? undefined : JSON.stringify([group, topic, key]);
  if (sequence !== undefined && stopped.has(sequence)) {
    outcome.held++;
    return;
  }
  try {
    await letter.replay();
    outcome.replayed++;
    if (input.one("json") !== undefined) await terminal.out(`${printableJson(letterView(letter))}\n`);
    else if (!terminal.isWatched) await terminal.out(`replayed ${letterLine(letter)}\n`);
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    outcome.failed++;
    outcome.firstError ??= error;
    if (sequence !== undefined) stopped.add(sequence);
    terminal.error(`not replayed: ${printable(letterId)} of ${printable(group)}: ${printable(error.message)}\n`);
  }
}

/** @throws CommandError when not everything was done */
function conclude(
  { replayed, failed, held, firstError }: Outcome,
  isDryRun: boolean,
  missing: string | undefined,
  { error, signal }: Terminal,
): void {
  const done = isDryRun ? `${replayed} would be replayed` : `${replayed} replayed`;
  if (signal.aborted) throw new CommandError(`stopped: ${done}, the others are as they were`);
  if (firstError !== undefined) {
    const behind = held === 0 ? "" : `, ${held} left behind one of their key that did not`;
    throw new CommandError(`${done}, ${failed} could not be${behind}; the same command tries those that are left`, {
      cause: firstError,
    });
  }
  error(`${done}\n`);
  if (missing !== undefined) throw new CommandError(missing);
}
