import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

const outcomeFile = join(import.meta.dirname, "../.build/provisioned.json");

/** A program that a test needs, a server that the environment names, or the reason why the test is skipped. */
export type Provisioned = { readonly path: string } | { readonly address: string } | { readonly reason: string };

/** What `scripts/provision.mjs`, which runs before `npm test`, found. */
export function provisioned(name: string): Provisioned {
  if (!existsSync(outcomeFile)) return { reason: "run node scripts/provision.mjs first, as npm test does" };
  const outcomes = JSON.parse(readFileSync(outcomeFile, "utf8")) as Record<string, Provisioned>;
  return outcomes[name] ?? { reason: `scripts/provision.mjs does not know ${name}` };
}
