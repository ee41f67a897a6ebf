#!/usr/bin/env node
import { main } from "./main.ts";

const exitCode = await main(process.argv.slice(2), {
  out: text => void process.stdout.write(text),
  error: text => void process.stderr.write(text),
  folder: process.cwd(),
  readInput: async () => Buffer.concat(await Array.fromAsync<Buffer>(process.stdin)),
});
process.exitCode = exitCode;
