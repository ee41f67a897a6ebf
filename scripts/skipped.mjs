// After `npm test`: which programs and servers were missing, and why, so that the number of skipped tests is explained. Says
// nothing when nothing was missing.
import { readFileSync } from "node:fs";
import { outcomeFile } from "./provision/finding.mjs";

/** @type {Record<string, import("./provision/finding.mjs").Outcome>} */
const outcomes = JSON.parse(readFileSync(outcomeFile, "utf8"));
const missing = Object.entries(outcomes).filter(([, outcome]) => "reason" in outcome);
if (missing.length > 0) {
  const lines = missing.map(([name, { reason }]) => `  ${name}: ${reason}\n`);
  process.stdout.write(`\nTests were skipped, because these are missing (${missing.length}):\n${lines.join("")}`);
}
