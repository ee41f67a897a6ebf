import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import process from "node:process";

/**
 * A process with all that it started, for signals that a program cannot pass on. A process group is not enough: PostgreSQL
 * gives each of its processes one of its own.
 */

function parents(): Map<number, number> {
  const pairs = process.platform === "linux" ? parentsOfProc() : parentsOfPs();
  return new Map(pairs);
}

function parentsOfProc(): [number, number][] {
  return readdirSync("/proc").flatMap((name): [number, number][] => {
    if (!/^[0-9]+$/.test(name)) return [];
    try {
      const stat = readFileSync(`/proc/${name}/stat`, "latin1");
      // "pid (command) state parent ...", where the command may hold anything.
      return [[Number(name), Number(stat.slice(stat.lastIndexOf(")")).split(" ")[2])]];
    } catch {
      return []; // ended meanwhile
    }
  });
}

function parentsOfPs(): [number, number][] {
  const lines = spawnSync("ps", ["-A", "-o", "pid=,ppid="], { encoding: "utf8" }).stdout.split("\n");
  return lines.map((line): [number, number] => {
    const [pid = 0, parent = 0] = line.trim().split(/\s+/).map(Number);
    return [pid, parent];
  });
}

/** The process and its descendants, parents before children. */
function treeOf(root: number): number[] {
  const all = parents();
  const tree = new Set([root]);
  for (let size = 0; size !== tree.size; ) {
    size = tree.size;
    for (const [pid, parent] of all) if (tree.has(parent)) tree.add(pid);
  }
  return [...tree];
}

function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

/** Stops the whole tree. Looks again until there is nothing new: what a process starts before it is stopped counts too. */
export function pauseTree(root: number): number[] {
  const paused = new Set<number>();
  for (;;) {
    const fresh = treeOf(root).filter(pid => !paused.has(pid));
    if (fresh.length === 0) return [...paused];
    for (const pid of fresh) {
      signal(pid, "SIGSTOP");
      paused.add(pid);
    }
  }
}

/** Children go on before their parents, who might take a stopped one for a dead one. */
export function resumeTree(root: number): void {
  for (const pid of treeOf(root).reverse()) signal(pid, "SIGCONT");
}

/** SIGKILL for the whole tree, stopped first, so that nothing is started meanwhile. `root` must not have been waited for. */
export function killTree(root: number): void {
  for (const pid of pauseTree(root)) signal(pid, "SIGKILL");
}
