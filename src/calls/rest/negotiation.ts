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
  if (field === undefined || field === "*/*" || field.trim() === "") return available[0];
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

/** What a client says about the content codings of its answer. */
export interface AcceptedEncodings {
  /** The compression that it likes at least as much as none. */
  readonly encoding: Encoding | undefined;
  /** Whether it takes an answer as it is. */
  readonly isIdentityFine: boolean;
}

const onlyIdentity: AcceptedEncodings = { encoding: undefined, isIdentityFine: true };

/**
 * RFC 9110, section 12.5.3. An uncompressed answer is acceptable unless `identity`, or `*` without it, has quality 0; named
 * with a higher quality than every compression, it is what the client wants.
 */
export function acceptedEncodings(field: string | undefined): AcceptedEncodings {
  if (field === undefined) return onlyIdentity;
  const accepted = [...items(field)];
  // The old names are the same codings (section 8.4.1.3).
  const of = (name: string): number | undefined =>
    accepted.find(item => item[0] === name || (name === "gzip" && item[0] === "x-gzip"))?.[1];
  const others = of("*");
  let encoding: Encoding | undefined;
  let best = 0;
  for (const name of ourEncodings) {
    const wanted = of(name) ?? others ?? 0;
    if (wanted > best) [encoding, best] = [name, wanted];
  }
  const identity = of("identity");
  if (best < (identity ?? 0)) encoding = undefined;
  return { encoding, isIdentityFine: (identity ?? others) !== 0 };
}

/** A cheap look at whether {@link acceptedEncodings} might say so: a quality of 0 has a zero in it. */
export function mayRefuseIdentity(field: string): boolean {
  return field.includes("0");
}
