import type { Reference } from "./asyncapi.ts";

/** A reference to a place of the document: a JSON pointer (RFC 6901) as the fragment of a URI (section 6). */
export function referenceTo(...path: readonly string[]): Reference {
  return { $ref: `#${path.map(name => `/${encodeURIComponent(escaped(name))}`).join("")}` };
}

/** A name as one step of a pointer (RFC 6901, section 3). */
export function escaped(name: string): string {
  return name.replaceAll("~", "~0").replaceAll("/", "~1");
}
