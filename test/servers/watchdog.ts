/**
 * Ends servers when the process that started them ends, in whatever way: `watchdog.ts <folder>`. Each line of its standard
 * input is a JSON array of the processes to end from now on; at its end they are killed with all that they started, and the
 * folder is removed.
 */
import { rmSync } from "node:fs";
import process from "node:process";
import { createInterface } from "node:readline";
import { killTree } from "./process-tree.ts";

const [folder = ""] = process.argv.slice(2);
let pids: readonly number[] = [];
// Those who end a group of processes must not end this one before the others.
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => {});
for await (const line of createInterface({ input: process.stdin })) pids = JSON.parse(line);
for (const pid of pids) killTree(pid);
rmSync(folder, { recursive: true, force: true, maxRetries: 10 });
