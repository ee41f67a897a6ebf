/**
 * REST from `google.api.http` annotations: routes, transcoding, problem errors; a protocol like the others, seen from
 * the server. May import `rpc` and what that may. Start at `routes.ts`; `server.ts` joins it with the rpc server.
 */
export { problem, RestRequestError, type Violation } from "./problem.ts";
export { type RestMatch, RestRoute, RestRoutes } from "./routes.ts";
export { restHandler } from "./server.ts";
