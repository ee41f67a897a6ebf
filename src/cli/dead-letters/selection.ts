import type { DeadLetterFilter, DeadLetterReason, HeldLetter } from "../../events/index.ts";
import { type CommandInput, type OptionRule, type Terminal, UsageError } from "../command.ts";
import { momentMs, wholeNumber } from "../option-values.ts";

const reasons: readonly DeadLetterReason[] = [
  "attempts",
  "discarded",
  "undecodable",
  "invalid",
  "unknown_type",
  "expired",
  "refused",
];

/** The options that choose dead letters; all that are given hold at once. */
export const selectionOptions = {
  group: { short: "g", value: "group", help: "Only those of this group." },
  topic: { value: "topic", help: "Only those of this topic." },
  type: { short: "t", value: "type", help: "Only those of this type." },
  key: { short: "k", value: "key", help: "Only those of this key: in the order in which they died." },
  reason: { value: "reason", choices: reasons, help: "Only those that died of this." },
  since: { value: "time", help: "Only those that died since: 15m (ago), or 2026-01-31T08:00Z." },
  limit: { short: "n", value: "count", help: "The first so many." },
} as const satisfies Readonly<Record<string, OptionRule>>;

/**
 * Which dead letters a command line means: the ids that it names, and the filters.
 * @throws UsageError for values that mean nothing
 */
export function selectionOf(input: CommandInput, { platform }: Terminal): DeadLetterFilter {
  return {
    group: input.one("group"),
    topic: input.one("topic"),
    type: input.one("type"),
    key: input.one("key"),
    reason: input.one("reason") as DeadLetterReason | undefined,
    sinceMs: momentMs(input, "since", platform.clock.wall()),
    limit: wholeNumber(input, "limit", 1),
    letterIds: input.arguments.length === 0 ? undefined : [...new Set(input.arguments)],
  };
}

/** For commands that change something: everything is meant only where that is said. */
export const allOption = {
  all: { help: "All dead letters of all groups, where no other option chooses some." },
} as const satisfies Readonly<Record<string, OptionRule>>;

/** @throws UsageError when nothing says which ones */
export function refuseEverything(input: CommandInput, filter: DeadLetterFilter): void {
  const { limit: _, ...chosen } = filter;
  if (input.one("all") !== undefined || Object.values(chosen).some(value => value !== undefined)) return;
  throw new UsageError("name the ids, choose with --group, --key and others, or say --all");
}

/** The ids of a command line that were not among the letters. */
export class MissingIds {
  readonly #left: Set<string>;

  constructor(filter: DeadLetterFilter) {
    this.#left = new Set(filter.letterIds);
  }

  found({ letterId }: HeldLetter): void {
    this.#left.delete(letterId);
  }

  /** `undefined` when all were there. */
  get message(): string | undefined {
    if (this.#left.size === 0) return undefined;
    return `there is no dead letter ${[...this.#left].join(", ")} (any more); trunkline dead-letters list shows those that are`;
  }
}
