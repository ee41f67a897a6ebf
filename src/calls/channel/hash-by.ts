import type { BalancingRule } from "../balancing/index.ts";

/** Where the key of `ring_hash` comes from: a metadata entry of the call, or a field of its request. */
export type HashBy = { readonly metadata: string } | { readonly field: string };

/** @throws TypeError when it is no such thing, or the rule would not look at it */
export function hashByOption(given: HashBy | undefined, rule: BalancingRule | undefined): HashBy | undefined {
  if (given === undefined) return undefined;
  if (rule !== "ring_hash") {
    throw new TypeError(`balancing.hashBy means nothing with balancing.rule "${rule ?? "peak_ewma"}"; use "ring_hash"`);
  }
  const entries = Object.entries(given);
  const [kind, name] = entries[0] ?? [];
  if (entries.length !== 1 || (kind !== "metadata" && kind !== "field") || typeof name !== "string" || name === "") {
    throw new TypeError(
      `balancing.hashBy is ${JSON.stringify(given)}; it must be { metadata: "x-name" } or { field: "customerId" }`,
    );
  }
  return "metadata" in given ? { metadata: given.metadata.toLowerCase() } : { field: given.field };
}
