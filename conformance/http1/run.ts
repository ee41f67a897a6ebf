import { judgeThroughProxy } from "./judge-proxies.ts";
import { startProxies } from "./proxies.ts";
import { judgeTables } from "./quick.ts";
import { requestCases } from "./requests.ts";
import { responseCases } from "./responses.ts";
import { startOurServer } from "./seen.ts";

/**
 * The tables against our server and client, with Node's parser, nginx and haproxy as oracles.
 * `node conformance/http1/run.ts [--verbose]`; the last line is `N passed, N failed`.
 */
const isVerbose = process.argv.includes("--verbose");
const say = (line: string): void => void process.stdout.write(`${line}\n`);

function report(name: string, laxer: readonly string[], stricter: readonly string[]): void {
  say(`${name}: laxer than the table in ${laxer.length} rows, stricter in ${stricter.length}`);
  if (isVerbose) for (const line of [...laxer, ...stricter]) say(`  ${line}`);
}

say(`${requestCases.length} requests, ${responseCases.length} responses`);
const tables = await judgeTables();
report("node:http", tables.laxer, tables.stricter);
let { passed } = tables;
const failures = [...tables.failures];

const backend = await startOurServer();
const { proxies, missing } = await startProxies(backend.port);
try {
  for (const proxy of proxies) {
    const verdicts = await judgeThroughProxy(proxy, backend);
    report(proxy.name, verdicts.laxer, verdicts.stricter);
    passed += verdicts.passed;
    failures.push(...verdicts.failures);
  }
} finally {
  for (const proxy of proxies) proxy.stop();
  await backend.close();
}
// What a proxy makes of the rows is a part of the judgement: without it there is none.
failures.push(...missing);
for (const failure of failures) say(`FAILED ${failure}`);
say(`${passed} passed, ${failures.length} failed`);
process.exitCode = failures.length === 0 ? 0 : 1;
