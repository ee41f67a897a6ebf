/**
 * A service whose endpoints are not known: it does not exist, or nobody could be asked.
 *
 * ```ts
 * try { await inventory.fetch("/stock") } catch (error) { if (error instanceof ServiceDiscoveryError) error.service; }
 * ```
 */
export class ServiceDiscoveryError extends Error {
  override readonly name = "ServiceDiscoveryError";
  /** The service as the target names it. */
  readonly service: string;
  /** Who was asked: `dns`, `dns+srv`, `k8s`, `file`, `static`. */
  readonly resolver: string;
  readonly target: string;

  constructor(at: { readonly target: string; readonly service: string; readonly resolver: string }, cause: unknown) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    super(`service "${at.service}" was not found (target "${at.target}", resolver ${at.resolver}): ${reason}`, {
      cause,
    });
    this.service = at.service;
    this.resolver = at.resolver;
    this.target = at.target;
  }
}
