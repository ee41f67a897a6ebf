import type { Broker, GroupStatus } from "../../events/index.ts";
import { CommandError, type CommandInput, type OptionRule } from "../command.ts";

export const groupFilters = {
  group: { short: "g", value: "group", help: "Only this group." },
  topic: { value: "topic", help: "Only this topic." },
} as const satisfies Readonly<Record<string, OptionRule>>;

/**
 * What the broker knows of groups, filtered and sorted by name.
 * @throws CommandError for a group that the broker does not know
 */
export async function statusOf(broker: Broker, input: CommandInput): Promise<readonly GroupStatus[]> {
  const [group, topic] = [input.one("group"), input.one("topic")];
  const all = await broker.groups();
  if (group !== undefined && !all.some(one => one.group === group)) {
    const names = [...new Set(all.map(one => one.group))].sort();
    const there = names.length === 0 ? "there is none" : `there are ${names.slice(0, 20).join(", ")}`;
    throw new CommandError(`the broker knows no group "${group}"; ${there}`);
  }
  return all
    .filter(one => (group === undefined || one.group === group) && (topic === undefined || one.topic === topic))
    .sort((one, other) => compare(one.group, other.group) || compare(one.topic, other.topic) || laneOrder(one, other));
}

function compare(one: string, other: string): number {
  return one < other ? -1 : one > other ? 1 : 0;
}

/** `orders/2` before `orders/10`. */
function laneOrder(one: GroupStatus, other: GroupStatus): number {
  return one.lane.length - other.lane.length || compare(one.lane, other.lane);
}

/** An age for people: two digits say enough. */
export function age(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 120_000) return `${Math.round(ms / 1_000)}s`;
  if (ms < 7_200_000) return `${Math.round(ms / 60_000)}m`;
  return ms < 172_800_000 ? `${Math.round(ms / 3_600_000)}h` : `${Math.round(ms / 86_400_000)}d`;
}
