#!/usr/bin/env node
import { systemPlatform } from "../platform/index.ts";
import { main } from "./main.ts";
import { processTerminal } from "./process-terminal.ts";

/** The longest that a timer of Node can wait, in milliseconds. */
const longMs = 2 ** 31 - 1;

// A command may wait for what keeps no process alive, such as events from another process.
const staying = systemPlatform.clock.after(longMs, () => {}, true);
process.exitCode = await main(process.argv.slice(2), processTerminal());
staying.cancel();
