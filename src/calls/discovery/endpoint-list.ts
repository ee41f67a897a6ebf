import type { ResolvedEndpoint } from "./resolver.ts";

/** What distinguishes endpoints: statistics and connections belong to it. */
export function endpointKey({ address, port }: Pick<ResolvedEndpoint, "address" | "port">): string {
  return address.includes(":") ? `[${address}]:${port}` : `${address}:${port}`;
}

/** The first of each address. */
export function withoutDuplicates(endpoints: readonly ResolvedEndpoint[]): readonly ResolvedEndpoint[] {
  const byKey = new Map<string, ResolvedEndpoint>();
  for (const endpoint of endpoints) {
    const key = endpointKey(endpoint);
    if (!byKey.has(key)) byKey.set(key, endpoint);
  }
  return [...byKey.values()];
}

/** By priority and address, for sources whose order means nothing: DNS servers turn theirs with every answer. */
export function inStableOrder(endpoints: readonly ResolvedEndpoint[]): readonly ResolvedEndpoint[] {
  return endpoints
    .map(endpoint => ({ endpoint, key: endpointKey(endpoint) }))
    .sort((a, b) => a.endpoint.priority - b.endpoint.priority || (a.key < b.key ? -1 : a.key > b.key ? 1 : 0))
    .map(({ endpoint }) => endpoint);
}

/** Whether two lists say the same, in the same order. */
export function sameEndpoints(a: readonly ResolvedEndpoint[], b: readonly ResolvedEndpoint[]): boolean {
  return a.length === b.length && a.every((one, index) => sameEndpoint(one, b[index]));
}

function sameEndpoint(a: ResolvedEndpoint, b: ResolvedEndpoint | undefined): boolean {
  return (
    b !== undefined &&
    a.address === b.address &&
    a.port === b.port &&
    a.weight === b.weight &&
    a.priority === b.priority &&
    a.zone === b.zone &&
    a.health === b.health &&
    a.hostname === b.hostname &&
    sameMetadata(a.metadata, b.metadata)
  );
}

function sameMetadata(a: ResolvedEndpoint["metadata"], b: ResolvedEndpoint["metadata"]): boolean {
  const names = Object.keys(a);
  return names.length === Object.keys(b).length && names.every(name => a[name] === b[name]);
}
