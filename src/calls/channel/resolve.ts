import { type Observer, type Platform, silentObserver, systemPlatform } from "../../platform/index.ts";
import { createResolver, type DiscoveryOptions, parseTarget, type ResolvedEndpoint } from "../discovery/index.ts";

export interface ResolveOptions {
  readonly discovery?: DiscoveryOptions | undefined;
  readonly signal?: AbortSignal | undefined;
  readonly platform?: Platform | undefined;
  readonly observer?: Observer | undefined;
}

/**
 * The endpoints of a target as they are now, once: the guide's `get_service_url`.
 *
 * ```ts
 * const [first] = await resolve("dns:///order-service:80");
 * ```
 * @throws (rejects) ServiceDiscoveryError; the signal's reason. @throws TypeError for a target that does not parse
 */
export async function resolve(target: string, options: ResolveOptions = {}): Promise<readonly ResolvedEndpoint[]> {
  const { platform = systemPlatform, observer = silentObserver, signal } = options;
  signal?.throwIfAborted();
  const resolver = createResolver(parseTarget(target), options.discovery ?? {}, { platform, observer });
  const found = Promise.withResolvers<readonly ResolvedEndpoint[]>();
  const aborted = (): void => found.reject(signal?.reason);
  signal?.addEventListener("abort", aborted, { once: true });
  try {
    resolver.start({ endpoints: list => found.resolve(list), failed: error => found.reject(error) });
    return await found.promise;
  } finally {
    signal?.removeEventListener("abort", aborted);
    resolver.close();
  }
}
