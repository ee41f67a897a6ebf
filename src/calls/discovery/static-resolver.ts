import type { Publication } from "./publication.ts";
import type { ResolvedEndpoint, Resolver, ResolverListener } from "./resolver.ts";

/** Endpoints that the target itself names. Known at once, and for good. */
export class StaticResolver implements Resolver {
  readonly #endpoints: readonly ResolvedEndpoint[];
  readonly #publication: Publication;

  constructor(endpoints: readonly ResolvedEndpoint[], publication: Publication) {
    this.#endpoints = endpoints;
    this.#publication = publication;
  }

  start(listener: ResolverListener): void {
    this.#publication.open(listener);
    this.#publication.found(this.#endpoints);
  }

  resolveNow(): boolean {
    return false;
  }

  close(): void {
    this.#publication.close();
  }
}
