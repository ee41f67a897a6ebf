// Finds the programs and servers that some tests need beside npm packages, and installs what is missing where it may. Says
// what it does; tests read the outcome from `outcomeFile` (test/provisioned.ts). Runs before `npm test`, after set-up; needs
// Node >= 20 and is quick when nothing is missing. A file in provision/ for each of them says how it is found.
//
// Where there is no way, the tests that need it are skipped with the reason, which scripts/skipped.mjs repeats at the end;
// with CI=true that is a failure.
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { chromium } from "./provision/chromium.mjs";
import { outcomeFile, say } from "./provision/finding.mjs";
import { kafka } from "./provision/kafka.mjs";
import { postgres } from "./provision/postgres.mjs";
import { rabbitmq } from "./provision/rabbitmq.mjs";

/** By the names that tests ask for. */
const needed = { chromium, rabbitmq, kafka, postgres };

/** @type {Record<string, import("./provision/finding.mjs").Outcome>} */
const outcomes = {};
for (const [name, provide] of Object.entries(needed)) {
  const outcome = await provide();
  outcomes[name] = outcome;
  if ("reason" in outcome) say(`${name}: tests that need it are skipped: ${outcome.reason}`);
  else say(`${name}: ${outcome.version}${"path" in outcome ? ` at ${outcome.path}` : ""}`);
}
mkdirSync(dirname(outcomeFile), { recursive: true });
writeFileSync(outcomeFile, JSON.stringify(outcomes));
const missing = Object.keys(outcomes).filter(name => "reason" in outcomes[name]);
if (missing.length > 0 && process.env.CI === "true") {
  say(`with CI=true everything must be there; missing: ${missing.join(", ")}`);
  process.exit(1);
}
