/** The scenarios of guards of functions. */
export type GuardScenario = "five-parts" | "breaker-closed" | "breaker-open" | "breaker-open-permit" | "retry-first";

/** What a peer exports as `guards`: one guarded call each, which answers 1 or, where it must be rejected, rejects. */
export type GuardPeer = { readonly [S in GuardScenario]?: () => unknown };

/** The work that is guarded: resolved at once, so that only the guard is measured. */
export const work = async (): Promise<number> => 1;

export const failing = async (): Promise<number> => {
  throw new Error("down");
};
