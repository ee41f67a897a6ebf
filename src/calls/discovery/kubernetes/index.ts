/**
 * EndpointSlices of the Kubernetes API, listed and then watched. May import what `discovery` may. Start at
 * `kubernetes-resolver.ts`; what the slices mean is in `merge-slices.ts`.
 */
export type { KubernetesOptions } from "./credentials.ts";
export { createKubernetesResolver } from "./kubernetes-resolver.ts";
