/** `trunkline dead-letters …`: events that groups have given up. One file for each command; `selection.ts` is what they share. */
import type { Command } from "../command.ts";
import { discard } from "./discard.ts";
import { edit } from "./edit.ts";
import { list } from "./list.ts";
import { replay } from "./replay.ts";
import { show } from "./show.ts";

export const deadLetterCommands: readonly Command[] = [list, show, replay, discard, edit];
