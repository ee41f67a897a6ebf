/** `trunkline/discovery`: plain HTTP services behind targets, and the endpoints that targets stand for. */
import { type DiscoveredService, type DiscoverOptions, discover as discoverIn } from "../calls/channel/index.ts";
import { contextValue, currentWork } from "../platform/index.ts";

export type { EndpointView } from "../calls/channel/index.ts";
export { type FetchInit, type PolicyRunner, type ResolveOptions, resolve } from "../calls/channel/index.ts";
export {
  type DiscoveryOptions,
  type DnsResolverOptions,
  type KubernetesOptions,
  type ResolvedEndpoint,
  ServiceDiscoveryError,
} from "../calls/discovery/index.ts";
export type { DiscoveredService, DiscoverOptions };

/**
 * A plain HTTP service behind a target: resolved, balanced and, with a policy, guarded. Calls that are made while a call
 * of a contract is being served have what is left of its deadline.
 *
 * ```ts
 * await using inventory = discover("dns:///inventory-service:80");
 * const level = await (await inventory.fetch("/inventory/product-1")).json();
 * ```
 * @throws TypeError for a target that does not parse
 */
export function discover(target: string, options: DiscoverOptions = {}): DiscoveredService {
  return discoverIn(target, { timeLeftMs: () => contextValue(currentWork)?.timeLeftMs, ...options });
}
