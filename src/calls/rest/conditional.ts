import { cryptoModule } from "../../platform/index.ts";

/**
 * A weak validator of an answer: the same for the same content in whatever content coding (RFC 9110, section 8.8.1), and
 * hard to make equal for different contents, so that nobody can poison a cache.
 */
export function entityTag(body: string | Uint8Array): string {
  return `W/"${cryptoModule().hash("sha1", body, "base64url")}"`;
}

/** What the preconditions of a GET ask for, evaluated in the order of RFC 9110, section 13.2.2. */
export type Precondition = "proceed" | "not_modified" | "failed";

export function precondition(
  header: (name: string) => string | undefined,
  tag: string | undefined,
  lastModified: string | undefined,
): Precondition {
  const ifMatch = header("if-match");
  const modifiedAt = dateOf(lastModified);
  if (ifMatch !== undefined) {
    // Strong comparison: a weak validator never matches (section 8.8.3.2).
    const isMatch = ifMatch.trim() === "*" || (tag !== undefined && !isWeak(tag) && tagsOf(ifMatch).includes(tag));
    if (!isMatch) return "failed";
  } else {
    if (modifiedAt > dateOf(header("if-unmodified-since"))) return "failed";
  }
  const ifNoneMatch = header("if-none-match");
  if (ifNoneMatch !== undefined) {
    if (ifNoneMatch.trim() === "*") return "not_modified";
    return tag !== undefined && tagsOf(ifNoneMatch).map(opaque).includes(opaque(tag)) ? "not_modified" : "proceed";
  }
  return modifiedAt <= dateOf(header("if-modified-since")) ? "not_modified" : "proceed";
}

/** NaN for none, and for what is no date: compares as neither earlier nor later. */
function dateOf(field: string | undefined): number {
  return field === undefined ? Number.NaN : Date.parse(field);
}

function isWeak(tag: string): boolean {
  return tag.startsWith("W/");
}

function opaque(tag: string): string {
  return isWeak(tag) ? tag.slice(2) : tag;
}

/** The entity tags of a list: a comma inside quotes does not end one. */
function tagsOf(field: string): readonly string[] {
  return field.match(/(?:W\/)?"[\x21\x23-\x7e\x80-\xff]*"/g) ?? [];
}
