// PostgreSQL 13 or later: a server that TRUNKLINE_TEST_POSTGRES names, else one that is installed, else Debian's.
import { existsSync, readdirSync, realpathSync } from "node:fs";
import { dirname, join } from "node:path";
import { installPackages } from "./debian.mjs";
import { givenServer, pathsOf, versionOf } from "./finding.mjs";

const variable = "TRUNKLINE_TEST_POSTGRES";
const majorMin = 13;

/** Debian keeps each version's programs in a folder of its own that is not on PATH; the newest first. */
function debianFolders() {
  const all = "/usr/lib/postgresql";
  if (!existsSync(all)) return [];
  const majors = readdirSync(all).sort((one, other) => Number(other) - Number(one));
  return majors.map(major => `${all}/${major}/bin`);
}

function installed() {
  for (const found of pathsOf(["postgres"], debianFolders())) {
    // `initdb` and the others lie beside the program itself, not beside a link to it.
    const path = realpathSync(found);
    const text = existsSync(join(dirname(path), "initdb")) ? versionOf(path, ["--version"]) : undefined;
    const [, version = "0"] = /(\d+(?:\.\d+)*)/.exec(text ?? "") ?? [];
    if (Number.parseInt(version, 10) >= majorMin) return { path, version: `PostgreSQL ${version}` };
  }
  return undefined;
}

/** @returns {Promise<import("./finding.mjs").Outcome>} */
export async function postgres() {
  const found = (await givenServer(variable, 5432)) ?? installed();
  if (found !== undefined) return found;
  const failure =
    installPackages({ packages: ["postgresql"], services: ["postgresql"] }) ??
    "Debian's package was installed, but does not run";
  return (
    installed() ?? {
      reason: `PostgreSQL is not installed, and ${failure}: install postgresql, or set ${variable}=postgres://…`,
    }
  );
}
