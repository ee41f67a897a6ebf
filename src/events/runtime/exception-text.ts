import { exceptionCharsMax } from "./limits.ts";

/** What a dead letter keeps of a thrown value: name, message, stack and causes, cut. */
export function exceptionText(thrown: unknown): string {
  let text = "";
  let value = thrown;
  // Causes can go round in a circle.
  for (let depth = 0; depth < 5; depth++) {
    text += value instanceof Error ? (value.stack ?? `${value.name}: ${value.message}`) : textOf(value);
    const cause: unknown = value instanceof Error ? value.cause : undefined;
    if (cause === undefined || text.length >= exceptionCharsMax) break;
    text += "\ncaused by: ";
    value = cause;
  }
  return text.length > exceptionCharsMax ? `${text.slice(0, exceptionCharsMax - 1)}…` : text;
}

/** Whatever was thrown: also what has no text of its own. */
function textOf(value: unknown): string {
  try {
    return typeof value === "string" ? value : (JSON.stringify(value) ?? String(value));
  } catch {
    return `a value of type ${typeof value}`;
  }
}
