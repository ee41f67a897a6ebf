import type { Observer } from "../../platform/index.ts";
import { sameEndpoints, withoutDuplicates } from "./endpoint-list.ts";
import type { EndpointsChanged, EndpointsLeftOut, ResolutionFailed } from "./events.ts";
import { endpointsMax } from "./limits.ts";
import type { ResolvedEndpoint, ResolverListener } from "./resolver.ts";
import { ServiceDiscoveryError } from "./service-discovery-error.ts";
import type { ParsedTarget } from "./target.ts";

/**
 * What a resolver has told its listener: says nothing twice, keeps the last good list through failures, and says nothing
 * more once it is closed. Shared by all resolvers.
 */
export class Publication {
  readonly #target: ParsedTarget;
  readonly #observer: Observer;
  #listener: ResolverListener | undefined;
  #last: readonly ResolvedEndpoint[] | undefined;
  #isStale = false;

  constructor(target: ParsedTarget, observer: Observer) {
    this.#target = target;
    this.#observer = observer;
  }

  /** @throws Error when it has begun already */
  open(listener: ResolverListener): void {
    if (this.#listener !== undefined)
      throw new Error(`the resolver of "${this.#target.text}" has been started already`);
    this.#listener = listener;
  }

  close(): void {
    this.#listener = { endpoints() {}, failed() {} };
  }

  /** Whether a list has been told. */
  get hasEndpoints(): boolean {
    return this.#last !== undefined;
  }

  /** The source has answered. An empty list means that there are none. */
  found(endpoints: readonly ResolvedEndpoint[]): void {
    let list = withoutDuplicates(endpoints);
    if (list.length > endpointsMax) {
      const event: EndpointsLeftOut = {
        type: "discovery.endpoints.left_out",
        target: this.#target.text,
        count: list.length - endpointsMax,
      };
      this.#observer.emit(event);
      list = list.slice(0, endpointsMax);
    }
    if (!this.#isStale && this.#last !== undefined && sameEndpoints(this.#last, list)) return;
    this.#tell(list, false);
  }

  /** The source has not answered, or with nothing that can be used. */
  failed(cause: unknown): void {
    const error = cause instanceof ServiceDiscoveryError ? cause : new ServiceDiscoveryError(at(this.#target), cause);
    const event: ResolutionFailed = { type: "discovery.resolution.failed", target: this.#target.text, error };
    this.#observer.emit(event);
    if (this.#last === undefined) this.#listener?.failed(error);
    else if (!this.#isStale) this.#tell(this.#last, true);
  }

  #tell(list: readonly ResolvedEndpoint[], isStale: boolean): void {
    this.#last = list;
    this.#isStale = isStale;
    const event: EndpointsChanged = {
      type: "discovery.endpoints.changed",
      target: this.#target.text,
      endpoints: list.length,
      isStale,
    };
    this.#observer.emit(event);
    this.#listener?.endpoints(list, { isStale });
  }
}

function at({ text, service, scheme }: ParsedTarget) {
  return { target: text, service, resolver: scheme };
}
