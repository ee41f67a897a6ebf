import type { Random } from "../platform/index.ts";

/**
 * Topics of replies on logs, `trunkline.replies.` and 128 random bits: names that nobody guesses, and that no topic of
 * events has, so that a request cannot have its reply written to one.
 */
const prefix = "trunkline.replies.";

export function newReplyTopic(random: Random): string {
  return `${prefix}${Buffer.from(random.bytes(16)).toString("hex")}`;
}

export function isReplyTopic(name: string): boolean {
  return /^trunkline\.replies\.[0-9a-f]{32}$/.test(name);
}
