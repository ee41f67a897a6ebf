import { type Observer, silentObserver } from "../../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../../platform/virtual/index.ts";
import { createResolver, type DiscoveryOptions } from "./create-resolver.ts";
import { endpointKey } from "./endpoint-list.ts";
import type { Files } from "./file/files.ts";
import type { ResolvedEndpoint, Resolver } from "./resolver.ts";
import type { ServiceDiscoveryError } from "./service-discovery-error.ts";
import { parseTarget } from "./target.ts";

/** A started resolver on a virtual machine, with all that it has told. */
export interface Listening {
  readonly platform: VirtualPlatform;
  readonly resolver: Resolver;
  /** Every list, as `a:1,b:2`, stale ones with `?` behind. */
  readonly told: string[];
  readonly lists: (readonly ResolvedEndpoint[])[];
  readonly errors: ServiceDiscoveryError[];
}

export function listenTo(
  target: string,
  options: DiscoveryOptions & { platform?: VirtualPlatform; files?: Files; observer?: Observer } = {},
): Listening {
  const { platform = virtualPlatform(), files, observer = silentObserver } = options;
  const resolver = createResolver(parseTarget(target), options, { platform, observer, files });
  const listening: Listening = { platform, resolver, told: [], lists: [], errors: [] };
  resolver.start({
    endpoints(list, { isStale }) {
      listening.lists.push(list);
      listening.told.push(list.map(endpointKey).join(",") + (isStale ? "?" : ""));
    },
    failed: error => listening.errors.push(error),
  });
  return listening;
}

/** A file system of a few files that tests write. */
export class MemoryFiles implements Files {
  readonly #files = new Map<string, { readonly text: string; readonly version: number }>();
  #writes = 0;

  write(path: string, text: string): void {
    this.#files.set(path, { text, version: this.#writes++ });
  }

  remove(path: string): void {
    this.#files.delete(path);
  }

  async version(path: string): Promise<string> {
    return String(this.#file(path).version);
  }

  async read(path: string, bytesMax: number): Promise<string> {
    const { text } = this.#file(path);
    if (text.length > bytesMax) throw new Error(`${path} is larger than ${bytesMax} bytes`);
    return text;
  }

  #file(path: string) {
    const file = this.#files.get(path);
    if (file === undefined) throw new Error(`ENOENT: no such file, open '${path}'`);
    return file;
  }
}
