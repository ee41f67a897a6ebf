/**
 * The OpenAPI 3.1 document of the REST routes and a page that shows it. `document.ts` and what it imports load the
 * descriptors of `buf.validate`, so servers import them when somebody asks; `handler.ts` does not. Start at `document.ts`.
 */
export type { OpenApiDocument, OpenApiOptions, OperationAdditions } from "./document.ts";
export { openApiHandler } from "./handler.ts";
export type { OpenApiSecurity } from "./security.ts";
