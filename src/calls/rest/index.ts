/**
 * REST from `google.api.http` annotations: routes, transcoding, streams, caching, problem errors; a protocol like the
 * others, seen from the server. May import `rpc` and what that may. Start at `server.ts`, which joins it with the rpc
 * server, then `route.ts`: how one rule reads requests and writes answers.
 */
export { type OpenApiDocument, type OpenApiOptions, type OperationAdditions, openApiHandler } from "./openapi/index.ts";
export { jsonPage, type Page, pagesHandler } from "./pages.ts";
export { problem, RestRequestError, type Violation } from "./problem.ts";
export { RestRoute } from "./route.ts";
export { type RestMatch, RestRoutes, type RestRoutesOptions } from "./routes.ts";
export { notFoundHandler, restHandler } from "./server.ts";
