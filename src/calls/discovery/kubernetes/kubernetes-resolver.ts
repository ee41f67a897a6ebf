import { type Observer, outsideContext, type Platform, type Timer } from "../../../platform/index.ts";
import type { Files } from "../file/files.ts";
import {
  listPageSize,
  resolveIntervalMinMs,
  retryMaxMs,
  retryMinMs,
  slicesMax,
  watchGraceMs,
  watchHealthyMs,
  watchLineCharactersMax,
  watchTimeoutMinMs,
} from "../limits.ts";
import type { Publication } from "../publication.ts";
import type { Resolver, ResolverListener } from "../resolver.ts";
import type { ParsedTarget } from "../target.ts";
import { ApiClient, ApiStatusError } from "./api-client.ts";
import { type ApiAccess, type KubernetesOptions, readApiAccess } from "./credentials.ts";
import { type EndpointSlice, isJsonObject, MalformedObject, metadataOf, parseEndpointSlice } from "./endpoint-slice.ts";
import { mergeSlices } from "./merge-slices.ts";
import { ResourceVersionGone, SliceStore } from "./slice-store.ts";
import { LineSplitter } from "./watch-lines.ts";

export interface KubernetesContext {
  readonly platform: Platform;
  readonly observer: Observer;
  readonly files: Files;
  readonly publication: Publication;
}

type KubernetesTarget = ParsedTarget & { readonly scheme: "k8s" };

/** The resolver of `k8s:///service.namespace:port`. */
export function createKubernetesResolver(
  target: KubernetesTarget,
  options: KubernetesOptions,
  context: KubernetesContext,
): Resolver {
  return new KubernetesResolver(target, options, context);
}

/**
 * Lists the EndpointSlices of a Service, then watches them from the version of the list on. A watch that ends goes on
 * where it stopped; only when that is too old (410) or the state is in doubt, everything is listed again. While the API
 * server cannot be reached, the last endpoints stay, marked stale.
 */
class KubernetesResolver implements Resolver {
  readonly #target: KubernetesTarget;
  readonly #options: KubernetesOptions;
  readonly #platform: Platform;
  readonly #files: Files;
  readonly #publication: Publication;
  readonly #client: ApiClient;
  readonly #store = new SliceStore();
  readonly #closed = new AbortController();
  #isListed = false;
  #isTrying = false;
  #failures = 0;
  #triedMs = Number.NEGATIVE_INFINITY;
  #pause: { readonly timer: Timer; readonly end: () => void } | undefined;

  constructor(target: KubernetesTarget, options: KubernetesOptions, context: KubernetesContext) {
    this.#target = target;
    this.#options = options;
    this.#platform = context.platform;
    this.#files = context.files;
    this.#publication = context.publication;
    this.#client = new ApiClient(context.platform, context.observer);
  }

  start(listener: ResolverListener): void {
    this.#publication.open(listener);
    outsideContext(() => void this.#follow());
  }

  resolveNow(): boolean {
    if (this.#closed.signal.aborted) return false;
    // A watch that works is as fresh as anything can be.
    const isEarly = this.#platform.clock.now() - this.#triedMs < resolveIntervalMinMs;
    if (this.#pause === undefined || isEarly) return this.#isTrying;
    const { timer, end } = this.#pause;
    timer.cancel();
    end();
    return true;
  }

  close(): void {
    this.#publication.close();
    this.#closed.abort(new Error("the resolver is closed"));
    this.#pause?.timer.cancel();
    this.#pause?.end();
    this.#client.close();
  }

  async #follow(): Promise<void> {
    while (!this.#closed.signal.aborted) {
      this.#triedMs = this.#platform.clock.now();
      this.#isTrying = true;
      try {
        const access = await readApiAccess(this.#options, this.#files);
        if (!this.#isListed) await this.#list(access);
        await this.#watch(access);
        if (this.#platform.clock.now() - this.#triedMs >= watchHealthyMs) this.#failures = 0;
      } catch (error) {
        if (this.#closed.signal.aborted) return;
        if (this.#platform.clock.now() - this.#triedMs >= watchHealthyMs) this.#failures = 0;
        if (isGone(error)) {
          this.#isListed = false;
        } else {
          if (error instanceof MalformedObject || error instanceof RangeError) this.#isListed = false;
          this.#publication.failed(error);
        }
      }
      this.#isTrying = false;
      await this.#wait();
    }
  }

  async #list(access: ApiAccess): Promise<void> {
    const slices: EndpointSlice[] = [];
    let resourceVersion = "";
    let next: string | undefined = "";
    for (let pages = 0; next !== undefined; pages++) {
      // A server that always has another page would keep us for ever.
      if (slices.length > slicesMax || pages > slicesMax) {
        throw new MalformedObject(`the Service has more than ${slicesMax} EndpointSlices`);
      }
      const page = `${this.#path(access)}&limit=${listPageSize}${next === "" ? "" : `&continue=${encodeURIComponent(next)}`}`;
      const list = parseList(await this.#client.get(access, page, this.#closed.signal));
      slices.push(...list.slices);
      ({ resourceVersion, next } = list);
    }
    this.#store.replace(slices, resourceVersion);
    this.#isListed = true;
    this.#publish();
  }

  async #watch(access: ApiAccess): Promise<void> {
    const { random } = this.#platform;
    const timeoutMs = Math.round(watchTimeoutMinMs * (1 + random.next()));
    let hasChanged = false;
    const lines = new LineSplitter(watchLineCharactersMax, line => {
      hasChanged = this.#store.apply(line) || hasChanged;
    });
    const query = new URLSearchParams({
      watch: "true",
      allowWatchBookmarks: "true",
      resourceVersion: this.#store.resourceVersion,
      timeoutSeconds: String(Math.ceil(timeoutMs / 1_000)),
    });
    await this.#client.stream(access, `${this.#path(access)}&${query}`, {
      signal: this.#closed.signal,
      timeoutMs: timeoutMs + watchGraceMs,
      // What is known is what the server knows: its events would come first if there were any.
      accepted: () => {
        if (this.#publication.hasEndpoints) this.#publish();
      },
      data: bytes => {
        lines.push(bytes);
        if (hasChanged) this.#publish();
        hasChanged = false;
      },
    });
  }

  #publish(): void {
    const { name, port, service } = this.#target;
    const merged = mergeSlices(this.#store.slices, { port, family: this.#options.family, zone: this.#options.zone });
    this.#isTrying = false;
    if (this.#store.size === 0 && !this.#publication.hasEndpoints) {
      this.#publication.failed(new Error(`there is no EndpointSlice of a Service ${service}; does it exist?`));
    } else if (!merged.hasPort && merged.ports.length > 0) {
      const asked = port === undefined ? "several ports, and the target names none" : `no port "${port}"`;
      const known = merged.ports.map(one => `"${one}"`).join(", ");
      this.#publication.failed(new Error(`the Service ${name} has ${asked}; it has ${known}`));
    } else {
      this.#publication.found(merged.endpoints);
    }
  }

  #path({ namespace }: ApiAccess): string {
    const { name } = this.#target;
    const selector = encodeURIComponent(`kubernetes.io/service-name=${name}`);
    const inNamespace = encodeURIComponent(this.#target.namespace ?? namespace);
    return `/apis/discovery.k8s.io/v1/namespaces/${inNamespace}/endpointslices?labelSelector=${selector}`;
  }

  /** Pauses before the next attempt, longer with each failure; jitter spreads the clients of a server that came back. */
  #wait(): Promise<void> {
    const { clock, random } = this.#platform;
    if (this.#closed.signal.aborted) return Promise.resolve();
    const limitMs = Math.min(retryMinMs * 2 ** this.#failures, retryMaxMs);
    this.#failures = Math.min(this.#failures + 1, 30);
    return new Promise(resolve => {
      const end = () => {
        this.#pause = undefined;
        resolve();
      };
      this.#pause = { end, timer: clock.after(limitMs * (0.5 + 0.5 * random.next()), end) };
    });
  }
}

function isGone(error: unknown): boolean {
  return error instanceof ResourceVersionGone || (error instanceof ApiStatusError && error.status === 410);
}

function parseList(text: string): {
  slices: readonly EndpointSlice[];
  resourceVersion: string;
  next: string | undefined;
} {
  let list: unknown;
  try {
    list = JSON.parse(text);
  } catch (cause) {
    throw new MalformedObject(`the list of EndpointSlices is not JSON: ${(cause as Error).message}`);
  }
  if (!isJsonObject(list) || !(Array.isArray(list.items) || list.items === null)) {
    throw new MalformedObject("the answer is no list of EndpointSlices");
  }
  const { resourceVersion } = metadataOf(list);
  const token = isJsonObject(list.metadata) ? list.metadata.continue : undefined;
  return {
    slices: ((list.items ?? []) as readonly unknown[]).map(parseEndpointSlice),
    resourceVersion,
    next: typeof token === "string" && token !== "" && token.length < 65_536 ? token : undefined,
  };
}
