import type { GroupStatus } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import type { Command, CommandInput, Terminal } from "../command.ts";
import { printableJson } from "../printable.ts";
import { table } from "../table.ts";
import { age, groupFilters, statusOf } from "./group-status.ts";

export const groups: Command = {
  name: "events groups",
  summary: "List the groups that consume, and what waits for each.",
  usage: "",
  description: "One line for each group and topic; events lag has one for each partition or queue.",
  options: { ...brokerOptions, ...groupFilters, json: { help: "One JSON object a line." } },
  examples: ["trunkline events groups --broker sqlite:./events.db", "trunkline events groups --topic orders --json"],
  run: runGroups,
};

interface GroupTotal {
  readonly group: string;
  readonly topic: string;
  lanes: number;
  lag: number;
  oldestAgeMs: number | undefined;
  consumers: number | undefined;
}

async function runGroups(input: CommandInput, terminal: Terminal): Promise<void> {
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    const totals = totalsOf(await statusOf(broker, input));
    if (input.one("json") !== undefined) {
      for (const { oldestAgeMs, ...total } of totals) {
        await terminal.out(`${printableJson({ ...total, oldest_age_ms: oldestAgeMs })}\n`);
      }
      return;
    }
    if (totals.length === 0) terminal.error("no group consumes here\n");
    else {
      const rows = totals.map(one => [one.group, one.topic, one.lanes, one.lag, age(one.oldestAgeMs), one.consumers]);
      await terminal.out(table(["GROUP", "TOPIC", "LANES", "LAG", "OLDEST", "CONSUMERS"], rows));
    }
  });
}

function totalsOf(statuses: readonly GroupStatus[]): readonly GroupTotal[] {
  const totals = new Map<string, GroupTotal>();
  for (const { group, topic, lag, oldestAgeMs, consumers } of statuses) {
    const name = `${group} ${topic}`;
    const total = totals.get(name) ?? { group, topic, lanes: 0, lag: 0, oldestAgeMs: undefined, consumers: undefined };
    totals.set(name, total);
    total.lanes++;
    total.lag += lag;
    total.oldestAgeMs = larger(total.oldestAgeMs, oldestAgeMs);
    // Every lane says how many members the topic has.
    total.consumers = larger(total.consumers, consumers);
  }
  return [...totals.values()];
}

function larger(one: number | undefined, other: number | undefined): number | undefined {
  if (one === undefined || other === undefined) return one ?? other;
  return Math.max(one, other);
}
