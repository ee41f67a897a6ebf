import type { GroupStatus } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal } from "../command.ts";
import { durationMs, wholeNumber } from "../option-values.ts";
import { printableJson } from "../printable.ts";
import { table } from "../table.ts";
import { age, groupFilters, statusOf } from "./group-status.ts";

export const lag: Command = {
  name: "events lag",
  summary: "Show how far groups are behind, by partition or queue; fail when it is too much.",
  usage: "",
  description:
    "The lag of a lane is what waits in it, what is in work included. With --max or --max-age it is a check.",
  options: {
    ...brokerOptions,
    ...groupFilters,
    behind: { help: "Only lanes where something waits." },
    max: { value: "count", help: "Exit with 1 when a group has more than so many waiting on a topic." },
    "max-age": { value: "time", help: "Exit with 1 when the oldest that waits is older, as in 5m." },
    json: { help: "One JSON object a line." },
  },
  examples: [
    "trunkline events lag --group order-processor",
    "trunkline events lag --max 1000 --max-age 5m > /dev/null",
  ],
  run: runLag,
};

async function runLag(input: CommandInput, terminal: Terminal): Promise<void> {
  const max = wholeNumber(input, "max", 0) ?? Number.POSITIVE_INFINITY;
  const maxAgeMs = durationMs(input, "max-age") ?? Number.POSITIVE_INFINITY;
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    const all = await statusOf(broker, input);
    const shown = input.one("behind") === undefined ? all : all.filter(one => one.lag > 0);
    if (input.one("json") !== undefined) {
      for (const { oldestAgeMs, ...one } of shown) {
        await terminal.out(`${printableJson({ ...one, oldest_age_ms: oldestAgeMs })}\n`);
      }
    } else if (shown.length === 0) {
      terminal.error(all.length === 0 ? "no group consumes here\n" : "nothing waits\n");
    } else {
      const rows = shown.map(one => [one.group, one.lane, one.lag, age(one.oldestAgeMs), one.consumers]);
      await terminal.out(table(["GROUP", "LANE", "LAG", "OLDEST", "CONSUMERS"], rows));
    }
    refuseTooMuch(all, max, maxAgeMs);
  });
}

/** @throws CommandError that names each group that is too far behind */
function refuseTooMuch(statuses: readonly GroupStatus[], max: number, maxAgeMs: number): void {
  const lags = new Map<string, number>();
  const problems: string[] = [];
  for (const { group, topic, lane, lag, oldestAgeMs } of statuses) {
    const name = `${group} on ${topic}`;
    lags.set(name, (lags.get(name) ?? 0) + lag);
    if (lag > 0 && oldestAgeMs !== undefined && oldestAgeMs > maxAgeMs) {
      problems.push(`${group}: the oldest in ${lane} has waited for ${age(oldestAgeMs)}`);
    }
  }
  for (const [name, sum] of lags) if (sum > max) problems.push(`${name}: ${sum} wait`);
  if (problems.length > 0) throw new CommandError(problems.join("; "));
}
