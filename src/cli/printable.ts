/**
 * What a terminal would obey instead of showing it: control characters of C0 and C1 (an escape sequence can retitle, recolour
 * or rewrite what stands above), marks that turn the direction of text, line separators, and halves of surrogate pairs.
 */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
const commanding = /[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\p{Surrogate}]/gu;

/** Text from elsewhere, made safe to show in one line. */
export function printable(text: string): string {
  return text.replace(commanding, escaped);
}

/** A value as JSON in one line, or several with an indent. It means the same, and is safe to show. */
export function printableJson(value: unknown, indent?: number): string {
  // JSON has escaped what is below a blank; its own line breaks stay.
  return JSON.stringify(value, undefined, indent).replace(commanding, mark => (mark === "\n" ? mark : escaped(mark)));
}

function escaped(mark: string): string {
  return `\\u${mark.charCodeAt(0).toString(16).padStart(4, "0")}`;
}
