import type { Encoding } from "../rpc/index.ts";

/** How much a client wants something: 1 to 0, where 0 is "not at all" (RFC 9110, section 12.4.2). */
function quality(parameters: readonly string[]): number {
  for (const parameter of parameters) {
    const match = /^\s*q\s*=\s*([01](?:\.[0-9]{0,3})?)\s*$/i.exec(parameter);
    if (match !== null) return Math.min(1, Number(match[1]));
  }
  return 1;
}

/** The items of a list field, each a name in lower case with its quality. */
function* items(field: string): Generator<readonly [name: string, quality: number]> {
  for (const item of field.split(",")) {
    const [name = "", ...parameters] = item.split(";");
    const trimmed = name.trim().toLowerCase();
    if (trimmed !== "") yield [trimmed, quality(parameters)];
  }
}

/**
 * The media type that a client likes best of those that we have, in our order where it likes several the same;
 * `undefined` when it accepts none. A missing or empty field accepts everything (RFC 9110, section 12.5.1).
 */
export function acceptedType<T extends string>(field: string | undefined, available: readonly T[]): T | undefined {
  if (field === undefined || field.trim() === "") return available[0];
  let best: T | undefined;
  let bestQuality = 0;
  const accepted = [...items(field)];
  for (const type of available) {
    const range = `${type.slice(0, type.indexOf("/"))}/*`;
    // The most specific range decides.
    const match =
      accepted.find(([name]) => name === type) ??
      accepted.find(([name]) => name === range) ??
      accepted.find(([name]) => name === "*/*" || name === "*");
    if (match !== undefined && match[1] > bestQuality) [best, bestQuality] = [type, match[1]];
  }
  return best;
}

/** What we write, in our order of preference: the best ratio for the time spent comes first. */
const ourEncodings: readonly Encoding[] = ["zstd", "br", "gzip", "deflate"];

/** The compression of an answer; `undefined`: none (RFC 9110, section 12.5.3). */
export function acceptedEncoding(field: string | undefined): Encoding | undefined {
  if (field === undefined) return undefined;
  const accepted = [...items(field)];
  const of = (name: string): number | undefined => accepted.find(item => item[0] === name)?.[1];
  const others = of("*") ?? 0;
  let best: Encoding | undefined;
  let bestQuality = 0;
  for (const encoding of ourEncodings) {
    const wanted = of(encoding) ?? others;
    if (wanted > bestQuality) [best, bestQuality] = [encoding, wanted];
  }
  return bestQuality >= (of("identity") ?? 0) ? best : undefined;
}
