import { hashText } from "./hash.ts";

/**
 * The endpoints that this client uses, at most `max`: those with the highest hash of client and endpoint (rendezvous
 * hashing, Thaler and Ravishankar 1998). Each client gets a subset of its own; when endpoints come or go, few of them
 * change. The sequence is kept.
 */
export function subset<E extends { readonly key: string }>(
  endpoints: readonly E[],
  client: string,
  max: number,
): readonly E[] {
  if (endpoints.length <= max) return endpoints;
  const seed = hashText(client);
  const ranked = endpoints
    .map(endpoint => ({ endpoint, rank: hashText(endpoint.key, seed) }))
    .sort((a, b) => b.rank - a.rank || (a.endpoint.key < b.endpoint.key ? -1 : 1));
  const chosen = new Set(ranked.slice(0, max).map(({ endpoint }) => endpoint));
  return endpoints.filter(endpoint => chosen.has(endpoint));
}
