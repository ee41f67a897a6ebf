/**
 * Patterns of integers that are written as text, as JSON has 64-bit ones: JSON Schema has no bounds for text. They match whole
 * texts, without zeros in front and without `-0`.
 */

/** Integers from `least` on. */
export function decimalFrom(least: bigint): string {
  if (least > 0n) return whole(digitsFrom(least));
  if (least === 0n) return whole(anyDigits);
  return whole(`${anyDigits}|-(?:${digitsTo(-least)})`);
}

/** Integers up to `most`. */
export function decimalTo(most: bigint): string {
  if (most >= 1n) return whole(`0|${digitsTo(most)}|-${positive}`);
  if (most === 0n) return whole(`0|-${positive}`);
  return whole(`-(?:${digitsFrom(-most)})`);
}

const positive = "[1-9][0-9]*";
const anyDigits = `0|${positive}`;

function whole(alternatives: string): string {
  return `^(?:${alternatives})$`;
}

/** Positive integers from `least`, which is one, on. */
function digitsFrom(least: bigint): string {
  if (least === 1n) return positive;
  const text = String(least);
  const larger = [...text].flatMap((digit, index) =>
    digit === "9" ? [] : [text.slice(0, index) + oneOf(Number(digit) + 1, 9) + anyOf(text.length - index - 1)],
  );
  return [`[1-9][0-9]{${text.length},}`, ...larger, text].join("|");
}

/** Positive integers up to `most`, which is one. */
function digitsTo(most: bigint): string {
  const text = String(most);
  const shorter = text.length === 1 ? [] : [`[1-9]${text.length === 2 ? "" : `[0-9]{0,${text.length - 2}}`}`];
  const smaller = [...text].flatMap((digit, index) => {
    const least = index === 0 ? 1 : 0;
    return Number(digit) <= least
      ? []
      : [text.slice(0, index) + oneOf(least, Number(digit) - 1) + anyOf(text.length - index - 1)];
  });
  return [...shorter, ...smaller, text].join("|");
}

function oneOf(first: number, last: number): string {
  return first === last ? String(first) : `[${first}-${last}]`;
}

function anyOf(count: number): string {
  return count === 0 ? "" : count === 1 ? "[0-9]" : `[0-9]{${count}}`;
}
