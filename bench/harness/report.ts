import type { Machine } from "./machine.ts";
import type { Peer } from "./peers.ts";
import { type Metric, type Scenario, scenarios } from "./scenarios.ts";
import { type Row, type Spread, spreadOf } from "./statistics.ts";
import { isMet, measure, type Target, targets } from "./targets.ts";

export interface Run {
  readonly startedAt: string;
  readonly command: string;
  readonly rounds: number;
  readonly seconds: number;
  readonly quick: boolean;
  readonly machine: Machine;
  readonly rows: readonly Row[];
}

const headings: Record<Metric, string> = {
  perSecond: "/s",
  serverCpuUs: "server CPU µs",
  clientCpuUs: "client CPU µs",
  p50Us: "p50 µs",
  p99Us: "p99 µs",
  serverRssBytes: "server RSS MiB",
  clientRssBytes: "client RSS MiB",
  heapBytesEach: "heap + buffers, bytes each",
  rssBytesEach: "RSS, bytes each",
  idealShare: "share of the ideal",
  idlePercent: "% of a core",
  growthBytes: "growth of RSS, MiB",
};

const mebibytes = new Set<Metric>(["serverRssBytes", "clientRssBytes", "growthBytes"]);

/** The whole run as a Markdown page; the terminal shows its tables as they are. */
export function markdown(run: Run, peers: readonly Peer[], last: Run | undefined): string {
  const { machine } = run;
  const versions = Object.entries(machine.versions).map(([name, version]) => `${name} ${version}`);
  return [
    "# Benchmark results",
    `Made by \`${run.command}\` at ${run.startedAt}. ${run.quick ? "**A quick run: short rounds, for orientation only.** " : ""}` +
      `Median of ${run.rounds} interleaved rounds of ${run.seconds} s (min–max); CPU time is user + system per operation. ` +
      "Client and server are processes of their own on one machine, so throughput depends on both; CPU time per operation is the steadier figure.",
    `Machine: ${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}. Versions: ${versions.join(", ")}.`,
    "## Targets",
    targetTable(run, peers, last),
    ...scenarios
      .filter(({ name }) => run.rows.some(row => row.scenario === name))
      .flatMap(scenario => [
        `## ${scenario.title}`,
        ...whenOther(scenario, run),
        scenarioTable(scenario, run.rows, peers),
      ]),
    "",
  ].join("\n\n");
}

/** When a scenario was measured, where that was in a run before. */
function whenOther({ name }: Scenario, run: Run): string[] {
  const startedAt = run.rows.find(row => row.scenario === name)?.startedAt;
  return startedAt === undefined || startedAt === run.startedAt ? [] : [`Measured at ${startedAt}.`];
}

export function scenarioTable(scenario: Scenario, rows: readonly Row[], peers: readonly Peer[]): string {
  const cells = rows
    .filter(row => row.scenario === scenario.name)
    .map(row => {
      const title = titleOf(row.peer, peers);
      if (row.failure !== undefined)
        return [title, `failed: ${row.failure}`, ...scenario.metrics.slice(1).map(() => "")];
      return [title, ...scenario.metrics.map(metric => spreadText(spreadOf(row, metric), metric))];
    });
  const first = scenario.metrics.map(metric => (metric === "perSecond" ? `${scenario.unit}/s` : headings[metric]));
  return table([["", ...first], ...cells]);
}

export function targetTable(run: Run, peers: readonly Peer[], last: Run | undefined): string {
  const measured = new Set(run.rows.map(row => row.scenario));
  const rows = targets
    .filter(target => measured.has(target.scenario))
    .map(target => {
      const ratio = measure(target, run.rows);
      const row = [
        `${scenarios.find(({ name }) => name === target.scenario)?.title}: ${headings[target.metric]}`,
        targetText(target, peers),
        ratio === undefined ? "not measured" : figure(ratio, target),
        ratio === undefined ? "–" : isMet(target, ratio) ? "yes" : "**no**",
      ];
      if (last !== undefined) {
        const before = measure(target, last.rows);
        row.push(before === undefined ? "–" : figure(before, target));
      }
      return row;
    });
  return table([["what", "target", "measured", "met", ...(last === undefined ? [] : ["last run"])], ...rows]);
}

function targetText(target: Target, peers: readonly Peer[]): string {
  const sign = target.direction === "least" ? "≥" : "≤";
  if (target.peer === undefined) return `${sign} ${target.bound}`;
  if (target.direction === "beyond") return `≤ ${target.bound} beyond ${titleOf(target.peer, peers)}`;
  return `${sign} ${round(target.bound)}× ${titleOf(target.peer, peers)}`;
}

function figure(value: number, target: Target): string {
  if (target.direction === "beyond") return round(value);
  if (target.peer !== undefined) return `${round(value)}×`;
  return value < 100 ? round(value) : `${Math.round(value)}`;
}

const titleOf = (name: string, peers: readonly Peer[]) => peers.find(peer => peer.name === name)?.title ?? name;

function spreadText(spread: Spread | undefined, metric: Metric): string {
  if (spread === undefined) return "";
  const scale = mebibytes.has(metric) ? 2 ** 20 : 1;
  const [median, min, max] = [spread.median, spread.min, spread.max].map(value => round(value / scale));
  return mebibytes.has(metric) ? `${median}` : `${median} (${min}–${max})`;
}

/** Three significant digits; more would claim what a shared machine cannot give. */
function round(value: number): string {
  const digits = Number(value.toPrecision(3));
  return digits >= 1000 ? digits.toLocaleString("en-US") : `${digits}`;
}

function table(rows: readonly (readonly string[])[]): string {
  const [head = []] = rows;
  const widths = head.map((_, column) => Math.max(3, ...rows.map(row => (row[column] ?? "").length)));
  const line = (cells: readonly string[]) => `| ${cells.map((cell, n) => cell.padEnd(widths[n] ?? 0)).join(" | ")} |`;
  return [line(head), `|${widths.map(width => "-".repeat(width + 2)).join("|")}|`, ...rows.slice(1).map(line)].join(
    "\n",
  );
}
