import { endpointKey, inStableOrder } from "../endpoint-list.ts";
import { type ResolvedEndpoint, resolvedEndpoint } from "../resolver.ts";
import type { EndpointSlice, SliceEndpoint, SlicePort } from "./endpoint-slice.ts";

export interface MergeOptions {
  /** Name or number of the port; `undefined`: the only one. */
  readonly port: string | undefined;
  /** Which addresses of a dual-stack Service. @default IPv4 where there are any */
  readonly family?: 4 | 6 | undefined;
  /** The client's own zone, for the hints of topology-aware routing. */
  readonly zone?: string | undefined;
}

export interface Merged {
  readonly endpoints: readonly ResolvedEndpoint[];
  /** Ports that the slices have, for messages. */
  readonly ports: readonly string[];
  /** Whether a slice has the port that was asked for. */
  readonly hasPort: boolean;
}

interface Candidate {
  readonly endpoint: ResolvedEndpoint;
  readonly zoneHints: readonly string[] | undefined;
}

/**
 * The endpoints of a Service out of all its slices. An endpoint that moves is in two slices for a while: it counts once,
 * and ready before anything else. Terminating ones that still serve are used only when nothing is ready.
 */
export function mergeSlices(slices: Iterable<EndpointSlice>, options: MergeOptions): Merged {
  const ready = new Map<string, Candidate>();
  const terminating = new Map<string, Candidate>();
  const ports = new Set<string>();
  let hasPort = false;
  for (const slice of usedFamily([...slices].sort(byName), options.family)) {
    for (const { name, port } of slice.ports) ports.add(name === "" ? String(port) : name);
    const matching = matchingPorts(slice.ports, options.port);
    if (matching.length > 0) hasPort = true;
    for (const one of slice.endpoints) {
      for (const { port } of matching) {
        const key = endpointKey({ address: one.address, port });
        const candidates = one.state === "ready" ? ready : one.state === "terminating" ? terminating : undefined;
        if (candidates !== undefined && !candidates.has(key)) candidates.set(key, candidate(one, port));
      }
    }
  }
  const chosen = [...(ready.size > 0 ? ready : terminating).values()];
  const near = forZone(chosen, options.zone);
  return { endpoints: inStableOrder(near.map(({ endpoint }) => endpoint)), ports: [...ports].sort(), hasPort };
}

function byName(a: EndpointSlice, b: EndpointSlice): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** One family only: the slices of both list the same pods. */
function usedFamily(slices: readonly EndpointSlice[], family: 4 | 6 | undefined): readonly EndpointSlice[] {
  const of = (type: string) => slices.filter(({ addressType }) => addressType === type);
  const four = of("IPv4");
  if (family !== undefined) return family === 4 ? four : of("IPv6");
  const isUsable = four.some(slice => slice.endpoints.some(({ state }) => state !== "unusable"));
  return isUsable || of("IPv6").length === 0 ? four : of("IPv6");
}

function matchingPorts(ports: readonly SlicePort[], wanted: string | undefined): readonly SlicePort[] {
  if (wanted === undefined) return ports.length === 1 ? ports : [];
  const named = ports.filter(({ name }) => name === wanted);
  return named.length > 0 ? named : ports.filter(({ port }) => String(port) === wanted);
}

function candidate(one: SliceEndpoint, port: number): Candidate {
  const metadata: Record<string, string> = {};
  if (one.pod !== undefined) {
    metadata.pod = one.pod.name;
    metadata.uid = one.pod.uid;
  }
  if (one.nodeName !== undefined) metadata.node = one.nodeName;
  const health = one.state === "terminating" ? "terminating" : "ready";
  return {
    endpoint: resolvedEndpoint(one.address, port, { zone: one.zone, health, metadata }),
    zoneHints: one.zoneHints,
  };
}

/** As kube-proxy does: hints count only when every endpoint has some and one is for this zone. */
function forZone(candidates: readonly Candidate[], zone: string | undefined): readonly Candidate[] {
  if (zone === undefined || candidates.some(({ zoneHints }) => zoneHints === undefined)) return candidates;
  const near = candidates.filter(({ zoneHints }) => zoneHints?.includes(zone));
  return near.length > 0 ? near : candidates;
}
