import { parseArgs } from "node:util";
import { type Group, groups } from "./scenarios.ts";

export interface BenchOptions {
  readonly groups: readonly Group[];
  readonly rounds: number;
  /** Measured seconds per round and peer. */
  readonly seconds: number;
  readonly warmupSeconds: number;
  readonly quick: boolean;
  /** Print each ratio beside that of the stored run. */
  readonly compareLast: boolean;
  /** Write a CPU profile and a flame graph of our processes. */
  readonly profile: boolean;
  /** Only these peers, trunkline included. */
  readonly peers: readonly string[] | undefined;
}

export const usage = `node bench/run.ts [${groups.join("|")} …] [--rounds N] [--seconds N] [--quick]
                  [--peers a,b] [--compare last] [--profile]`;

/** @throws Error with a message for the user when an argument is not understood. */
export function parseOptions(args: readonly string[]): BenchOptions {
  const { values, positionals } = parseArgs({
    args: [...args],
    allowPositionals: true,
    options: {
      rounds: { type: "string" },
      seconds: { type: "string" },
      peers: { type: "string" },
      compare: { type: "string" },
      profile: { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
    },
  });
  const unknown = positionals.find(name => !groups.includes(name as Group));
  if (unknown !== undefined) throw new Error(`unknown group ${unknown}\n${usage}`);
  if (values.compare !== undefined && values.compare !== "last")
    throw new Error(`--compare knows only "last"\n${usage}`);
  const quick = values.quick;
  return {
    groups: positionals.length === 0 ? groups : (positionals as Group[]),
    rounds: positive("rounds", values.rounds, quick ? 3 : 5),
    seconds: positive("seconds", values.seconds, quick ? 0.7 : 2),
    warmupSeconds: quick ? 0.8 : 1.5,
    quick,
    compareLast: values.compare === "last",
    profile: values.profile,
    peers: values.peers?.split(","),
  };
}

function positive(name: string, text: string | undefined, byDefault: number): number {
  if (text === undefined) return byDefault;
  const value = Number(text);
  if (!(value > 0)) throw new Error(`--${name} ${text}: a number above 0 is wanted\n${usage}`);
  return value;
}
