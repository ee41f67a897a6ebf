/**
 * Resolvers: where the instances of a service are, followed for as long as somebody uses them. One folder for each kind
 * of source; what they share is beside this file. May import `wire`, `platform`, `errors`. Start at `resolver.ts`, then
 * `refreshing-resolver.ts`; targets are taken apart in `target.ts`.
 */
export { createResolver, type DiscoveryOptions, type DnsResolverOptions } from "./create-resolver.ts";
export { endpointKey } from "./endpoint-list.ts";
export type { EndpointsChanged, EndpointsLeftOut, ResolutionFailed } from "./events.ts";
export type { Files } from "./file/files.ts";
export type { KubernetesOptions } from "./kubernetes/index.ts";
export { type ResolvedEndpoint, type Resolver, type ResolverListener, resolvedEndpoint } from "./resolver.ts";
export { ServiceDiscoveryError } from "./service-discovery-error.ts";
export { type Address, type ParsedTarget, parseTarget } from "./target.ts";
