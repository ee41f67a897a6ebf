// Benchmarks of trunkline beside its peers. Needs only Node; installs and builds the rest on its first run.
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { writeFlameGraphs } from "./harness/flame-graph.ts";
import { buildFolder, resultsFolder } from "./harness/folders.ts";
import { describeMachine } from "./harness/machine.ts";
import { measureScenario } from "./harness/measure.ts";
import { parseOptions } from "./harness/options.ts";
import { readPeers } from "./harness/peers.ts";
import { provision } from "./harness/provision.ts";
import { markdown, type Run, scenarioTable, targetTable } from "./harness/report.ts";
import { scenarios } from "./harness/scenarios.ts";
import type { Row } from "./harness/statistics.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

const args = process.argv.slice(2);
const options = parseOptions(args);
const startedAt = new Date().toISOString();
const resultFile = join(resultsFolder, "latest.json");
const stored = existsSync(resultFile) ? (JSON.parse(readFileSync(resultFile, "utf8")) as Run) : undefined;
const last = options.compareLast ? stored : undefined;

provision(say, options.peers);
const allPeers = readPeers();
const peers = allPeers.filter(({ name }) => options.peers?.includes(name) ?? true);
const machine = describeMachine(peers);
say(`${machine.processor}, ${machine.cores} cores, ${machine.memoryGiB} GiB, ${machine.system}`);
say(
  Object.entries(machine.versions)
    .map(([name, version]) => `${name} ${version}`)
    .join(", "),
);
/** Rows of scenarios that this run does not measure; a quick run's stay no longer than that. */
function keptRows(stored: Run | undefined): Row[] {
  if (stored === undefined || stored.quick || options.quick) return [];
  const others = scenarios.filter(({ group }) => !options.groups.includes(group)).map(({ name }) => name);
  return stored.rows
    .filter(({ scenario }) => others.includes(scenario))
    .map(row => ({ startedAt: stored.startedAt, ...row }));
}

const profiles = join(buildFolder, "profiles");
rmSync(profiles, { recursive: true, force: true });

const rows: Row[] = [];
for (const scenario of scenarios.filter(({ group }) => options.groups.includes(group))) {
  const measured = await measureScenario(
    scenario,
    peers.filter(peer => peer.scenarios.includes(scenario.name)),
    options,
  );
  rows.push(...measured.map(row => ({ ...row, startedAt })));
  say(`\n${scenario.title}\n${scenarioTable(scenario, measured, allPeers)}`);
}

const run: Run = {
  startedAt,
  command: ["npm run bench --", ...args].join(" "),
  rounds: options.rounds,
  seconds: options.seconds,
  quick: options.quick,
  machine,
  // A run of some groups leaves the page's other groups as they are, with the time at which they were measured.
  rows: [...keptRows(stored), ...rows],
};
say(`\nTargets\n${targetTable(run, allPeers, last)}`);
mkdirSync(resultsFolder, { recursive: true });
writeFileSync(resultFile, `${JSON.stringify(run, undefined, 1)}\n`);
writeFileSync(join(resultsFolder, "latest.md"), markdown(run, allPeers, last));
say("\nWritten to bench/results/latest.md and latest.json.");
if (options.profile) for (const file of writeFlameGraphs(profiles)) say(`Flame graph: ${file}`);

const failed = rows.filter(row => row.failure !== undefined);
for (const { scenario, peer, failure } of failed) process.stderr.write(`${peer}, ${scenario}: ${failure}\n`);
process.exitCode = failed.length > 0 ? 1 : 0;
