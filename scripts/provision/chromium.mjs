// A browser that tests drive: CHROMIUM_PATH, else one that is installed, else Debian's.
import { installPackages } from "./debian.mjs";
import { pathsOf, versionOf } from "./finding.mjs";

const variable = "CHROMIUM_PATH";

function installed() {
  for (const path of pathsOf(["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"])) {
    const version = versionOf(path, ["--version"]);
    if (version !== undefined) return { path, version };
  }
  return undefined;
}

/** @returns {import("./finding.mjs").Outcome} */
export function chromium() {
  const named = process.env[variable];
  if (named !== undefined && named !== "") {
    const version = versionOf(named, ["--version"]);
    if (version === undefined) return { reason: `${variable} is ${named}, which does not run` };
    return { path: named, version };
  }
  const found = installed();
  if (found !== undefined) return found;
  const failure = installPackages({ packages: ["chromium"] }) ?? "Debian's package was installed, but does not run";
  return (
    installed() ?? {
      reason: `chromium is not installed, and ${failure}: install chromium, or set ${variable} to its path`,
    }
  );
}
