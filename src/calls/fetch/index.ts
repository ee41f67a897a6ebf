/**
 * Routes outside the contract, by a web-standard handler: `(request: Request) => Response`. May import `rpc` and what that
 * may. Start at `fetch-handler.ts`.
 */
export { type FetchHandler, type FetchHandlerFailed, fetchHandler } from "./fetch-handler.ts";
export type { FetchLimits } from "./limits.ts";
