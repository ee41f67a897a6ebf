/** `trunkline events …`: what a broker has, and what is published to it by hand. One file for each command. */
import type { Command } from "../command.ts";
import { groups } from "./groups.ts";
import { lag } from "./lag.ts";
import { publish } from "./publish.ts";
import { tail } from "./tail.ts";

export const eventCommands: readonly Command[] = [tail, publish, groups, lag];
