import type { Observer, Platform } from "../../platform/index.ts";
import type { NameOptions } from "./dns/addresses-of-name.ts";
import { NameSource } from "./dns/name-source.ts";
import { ServiceSource } from "./dns/service-source.ts";
import { FileSource } from "./file/file-source.ts";
import { type Files, systemFiles } from "./file/files.ts";
import { createKubernetesResolver, type KubernetesOptions } from "./kubernetes/index.ts";
import { searchDomainsMax } from "./limits.ts";
import { Publication } from "./publication.ts";
import { RefreshingResolver, type Source } from "./refreshing-resolver.ts";
import { type Resolver, resolvedEndpoint } from "./resolver.ts";
import { StaticResolver } from "./static-resolver.ts";
import { isIPv4, isIPv6, type ParsedTarget } from "./target.ts";

/** How `dns:///` and `dns+srv:///` targets are resolved. */
export interface DnsResolverOptions {
  /** `address` or `address:port`; a server in the target goes before. @default those of the machine */
  readonly servers?: readonly string[] | undefined;
  /** Domains tried for names that are not complete, for example `default.svc.cluster.local`. @default none */
  readonly search?: readonly string[] | undefined;
  /** For one attempt at a query; there are two. @default 2_000 */
  readonly timeoutMs?: number | undefined;
  /** Only IPv4 or only IPv6 addresses. @default both */
  readonly family?: 4 | 6 | undefined;
}

export interface DiscoveryOptions {
  readonly dns?: DnsResolverOptions | undefined;
  readonly kubernetes?: KubernetesOptions | undefined;
}

export interface ResolverContext {
  readonly platform: Platform;
  readonly observer: Observer;
  /** @default those of the machine */
  readonly files?: Files | undefined;
}

/**
 * The resolver for a target; it asks nobody before it is started.
 * @throws TypeError naming the option that cannot be
 */
export function createResolver(target: ParsedTarget, options: DiscoveryOptions, context: ResolverContext): Resolver {
  const { platform, observer, files = systemFiles } = context;
  const publication = new Publication(target, observer);
  const refreshing = (source: Source) => new RefreshingResolver(source, publication, platform);
  switch (target.scheme) {
    case "static":
      return new StaticResolver(
        target.addresses.map(({ host, port, priority }) => resolvedEndpoint(host, port, { priority })),
        publication,
      );
    case "dns": {
      const { host, port } = target;
      const isKnown = isIPv4(host) || isIPv6(host) || isLocalhost(host);
      if (isKnown) return new StaticResolver([resolvedEndpoint(host, port)], publication);
      return refreshing(new NameSource(host, port, nameOptions(target, options.dns, platform)));
    }
    case "dns+srv":
      return refreshing(new ServiceSource(target.record, nameOptions(target, options.dns, platform)));
    case "file":
      return refreshing(new FileSource(target.path, files));
    case "k8s":
      return createKubernetesResolver(target, options.kubernetes ?? {}, { platform, observer, files, publication });
  }
}

/** RFC 6761, section 6.3: loopback, whatever DNS says. The system connects to whichever family answers. */
function isLocalhost(host: string): boolean {
  return /^(?:.+\.)?localhost\.?$/i.test(host);
}

function nameOptions(
  { text, server }: ParsedTarget & { readonly server: string | undefined },
  dns: DnsResolverOptions = {},
  { network }: Platform,
): NameOptions {
  const { search = [], family, timeoutMs } = dns;
  if (search.length > searchDomainsMax) {
    throw new TypeError(`target "${text}": dns.search has ${search.length} domains, at most ${searchDomainsMax}`);
  }
  if (timeoutMs !== undefined && !(timeoutMs >= 1 && timeoutMs <= 60_000)) {
    throw new TypeError(`target "${text}": dns.timeoutMs is ${timeoutMs}; it must be from 1 to 60000`);
  }
  const servers = server === undefined ? dns.servers : [server];
  return { client: network.dns({ servers, timeoutMs }), network, onlyDns: servers !== undefined, family, search };
}
