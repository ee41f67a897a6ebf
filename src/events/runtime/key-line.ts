import type { Entry } from "./entry.ts";

/**
 * Entries of one key in their order: the head, which knows the last of them and how many come behind it, and its followers.
 * An entry that stands in no line is a line of its own. Each operation takes constant time and allocates nothing.
 */

/** Puts an entry behind all others of its key. */
export function append(head: Entry, entry: Entry): void {
  head.last.follower = entry;
  head.last = entry;
  head.behind++;
  head.bytesBehind += entry.bytes;
}

/** Takes the head out. Its follower is the head of what is left, if anything is. */
export function behead(head: Entry): Entry | undefined {
  const { follower } = head;
  if (follower !== undefined) {
    follower.last = head.last;
    follower.behind = head.behind - 1;
    follower.bytesBehind = head.bytesBehind - follower.bytes;
    follower.parkedSinceMs = head.parkedSinceMs;
  }
  head.follower = undefined;
  head.last = head;
  head.behind = 0;
  head.bytesBehind = 0;
  return follower;
}

/** Puts an entry before the head of a line, if there is one, and makes it the head. */
export function prepend(entry: Entry, head: Entry | undefined): Entry {
  if (head !== undefined) {
    entry.follower = head;
    entry.last = head.last;
    entry.behind = head.behind + 1;
    entry.bytesBehind = head.bytesBehind + head.bytes;
  }
  return entry;
}
