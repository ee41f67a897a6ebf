// What all of scripts/provision/ shares: the shape of an outcome, how programs are found, and how long all may take.
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import { connect } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

/**
 * What tests are told about one thing that they need: a program, a server that runs already, or why there is neither.
 * @typedef {{ path: string, version: string }
 *   | { address: string, version: string }
 *   | { reason: string }} Outcome
 */

const root = join(dirname(fileURLToPath(import.meta.url)), "../..");

/** Outcomes by the names that tests ask for; test/provisioned.ts reads it. */
export const outcomeFile = join(root, ".build/provisioned.json");

/** Everything together must not hold up a test run for longer than this. */
const allMsMax = 290_000;
const startedAt = Date.now();

/** How much of the time for everything is left; never so little that a quick step cannot be tried. */
export const remainingMs = () => Math.max(allMsMax - (Date.now() - startedAt), 5_000);

/** @param {string} message */
export const say = message => process.stdout.write(`provision: ${message}\n`);

/**
 * What a program prints, or `undefined` when it does not run.
 * @param {string} path @param {string[]} args
 */
export function outputOf(path, args) {
  const { status, stdout, stderr } = spawnSync(path, args, { encoding: "utf8", timeout: 20_000 });
  return status === 0 ? `${stdout}${stderr}`.trim() : undefined;
}

/** The first line of it. @param {string} path @param {string[]} args */
export const versionOf = (path, args) => outputOf(path, args)?.split("\n", 1)[0];

/** Where commands of these names are, best first. @param {string[]} commands @param {string[]} folders looked at before PATH */
export function pathsOf(commands, folders = []) {
  const all = [...folders, ...(process.env.PATH ?? "").split(delimiter)].filter(folder => folder !== "");
  return all.flatMap(folder => commands.map(command => join(folder, command))).filter(path => existsSync(path));
}

/**
 * The server that an environment variable names, when it accepts connections; `undefined` when the variable is not set.
 * @param {string} variable @param {number} defaultPort @returns {Promise<Outcome | undefined>}
 */
export async function givenServer(variable, defaultPort) {
  const address = process.env[variable];
  if (address === undefined || address === "") return undefined;
  const text = address.includes("://") ? address : `tcp://${address}`;
  const { hostname, port } = URL.canParse(text) ? new URL(text) : { hostname: "", port: "" };
  // The address may hold a password, so that it is not repeated.
  if (hostname === "") return { reason: `${variable} holds no address` };
  const number = port === "" ? defaultPort : Number(port);
  const problem = await unreachable(hostname.replace(/^\[(.*)\]$/, "$1"), number);
  return problem === undefined
    ? { address, version: `the server that ${variable} names` }
    : { reason: `${variable} names ${hostname}:${number}, which cannot be reached: ${problem}` };
}

/** @param {string} host @param {number} port @returns {Promise<string | undefined>} why not */
function unreachable(host, port) {
  return new Promise(resolve => {
    const socket = connect({ host, port, timeout: 5_000 });
    const end = problem => {
      socket.destroy();
      resolve(problem);
    };
    socket.once("connect", () => end(undefined));
    socket.once("timeout", () => end("no answer within 5 s"));
    socket.once("error", error => end(error.message));
  });
}
