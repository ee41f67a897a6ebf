/**
 * Which endpoint of a target a call goes to: rules in `pickers/`, statistics of endpoints, outlier ejection, zones, subsets.
 * Knows no connections and no resolvers. Imports only `platform` and `errors`. Start at `balancer.ts`.
 */
export { Balancer, type BalancerContext, type BalancingOptions } from "./balancer.ts";
export { type BalancedAddress, BalancerEndpoint, type EndpointState, type EndpointView } from "./balancer-endpoint.ts";
export type { EndpointEjected, PanicChanged, PriorityChanged } from "./events.ts";
export type { BalancingLimits, EjectionLimits } from "./limits.ts";
export type { BalancingRule, PickHint } from "./pickers/index.ts";
