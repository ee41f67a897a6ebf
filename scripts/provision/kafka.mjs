// Kafka 4.1: a server that TRUNKLINE_TEST_KAFKA names, else the jars of a broker, which Maven fetches once into a cache
// folder of the user, for all checkouts. Needs Java 17 and Maven; Debian's where they are missing.
import { spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { installPackages } from "./debian.mjs";
import { givenServer, outputOf, remainingMs, say } from "./finding.mjs";

const variable = "TRUNKLINE_TEST_KAFKA";
const version = "4.1.0"; // also in kafka-pom.xml
const pom = join(dirname(fileURLToPath(import.meta.url)), "kafka-pom.xml");
const cache = process.env.XDG_CACHE_HOME || join(homedir(), ".cache");
const folder = join(cache, "trunkline", `kafka-${version}`);
const javaMajorMin = 17;

/** JAVA_HOME counts before PATH, as it does for Maven; test/servers/kafka.ts does the same. */
function javaVersion() {
  const { JAVA_HOME } = process.env;
  // With JAVA_TOOL_OPTIONS the version is not on the first line.
  const text = outputOf(JAVA_HOME ? join(JAVA_HOME, "bin/java") : "java", ["-version"]);
  const [, number, major] = /version "((\d+)[^"]*)"/.exec(text ?? "") ?? [];
  return Number(major) >= javaMajorMin ? number : undefined;
}

/** @returns {string | undefined} why it could not */
function fetchJars() {
  if (outputOf("mvn", ["-version"]) === undefined) {
    const failure = installPackages({ packages: ["maven"] });
    if (failure !== undefined) return `Maven is not installed, and ${failure}: install it`;
  }
  say(`fetching the jars of Kafka ${version} into ${folder}`);
  mkdirSync(dirname(folder), { recursive: true });
  const temporary = mkdtempSync(`${folder}-`);
  try {
    const { status, stdout, error } = spawnSync(
      "mvn",
      [
        ...["--batch-mode", "--quiet", "--strict-checksums", "--file", pom],
        ...["dependency:copy-dependencies", "-DincludeScope=runtime", `-DoutputDirectory=${temporary}`],
      ],
      { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"], timeout: remainingMs() },
    );
    if (status !== 0) {
      const said = stdout.split("\n").find(line => line.includes("[ERROR]"));
      return `Maven could not fetch Kafka: ${error?.message ?? said ?? `exit code ${status}`}`;
    }
    // Whole or not at all; a run beside this one may have been first.
    if (!existsSync(folder)) renameSync(temporary, folder);
    return undefined;
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

/** @returns {Promise<import("./finding.mjs").Outcome>} */
export async function kafka() {
  const given = await givenServer(variable, 9092);
  if (given !== undefined) return given;
  const advice = `or set ${variable}=host:port`;
  if (javaVersion() === undefined) {
    const failure = installPackages({ packages: ["default-jre-headless"] });
    if (failure !== undefined)
      return { reason: `there is no Java ${javaMajorMin}, and ${failure}: install it, ${advice}` };
  }
  const java = javaVersion();
  if (java === undefined) return { reason: `Debian's Java is older than ${javaMajorMin}: install another, ${advice}` };
  const failure = existsSync(folder) ? undefined : fetchJars();
  if (failure !== undefined) return { reason: `${failure}, ${advice}` };
  return { path: folder, version: `Kafka ${version}, Java ${java}` };
}
