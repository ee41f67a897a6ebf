import { CodecError } from "../codec-error.ts";

/**
 * Whether valid JSON has an object with two members of one name, of which `JSON.parse` keeps the last and says nothing.
 * Every member has exactly one colon outside strings, so a text with more of them than `parsedMembers` has duplicates.
 * There are no more colons outside strings than there are in all, and those are counted in native code: most texts are
 * settled by that.
 */
export function hasDuplicates(text: string, parsedMembers: number): boolean {
  let colons = 0;
  for (let at = text.indexOf(":"); at !== -1; at = text.indexOf(":", at + 1)) {
    if (++colons > parsedMembers) return countMembers(text) !== parsedMembers;
  }
  return false;
}

/** Colons outside strings. */
function countMembers(text: string): number {
  let members = 0;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    if (code === 0x3a) {
      members++;
    } else if (code === 0x22) {
      for (;;) {
        const next = text.charCodeAt(++index);
        if (next === 0x22) break;
        if (next === 0x5c) index++;
      }
    }
  }
  return members;
}

/** The same for a caller that has the parsed value only. */
export function hasDuplicateMembers(text: string, parsed: unknown): boolean {
  return hasDuplicates(text, countParsed(parsed));
}

/** The members of a parsed value, at every depth. */
export function countParsed(value: unknown): number {
  let members = 0;
  const open: unknown[] = [value];
  // A list of what is still to be looked at, not recursion: the depth is the sender's choice.
  while (open.length > 0) {
    const next = open.pop();
    if (typeof next !== "object" || next === null) continue;
    const children: unknown[] = Array.isArray(next) ? next : Object.values(next);
    if (!Array.isArray(next)) members += children.length;
    for (const child of children) if (typeof child === "object" && child !== null) open.push(child);
  }
  return members;
}

export function duplicateKeys(): CodecError {
  return new CodecError("json.duplicate_field", "an object has two members of the same name");
}
