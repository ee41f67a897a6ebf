/**
 * The AsyncAPI 3.0 document of a service's events: what it publishes and what its groups handle. `document.ts` and what it
 * imports load the descriptors of `buf.validate`, so that whoever serves a document imports it when somebody asks; the options
 * are checked without it, by `checked-options.ts`. Start at `document.ts`; then `message.ts`, `operations.ts`, `replies.ts`, `servers.ts`.
 */
export type { AsyncApiDocument } from "./asyncapi.ts";
export { type CheckedAsyncApi, checkedAsyncApi } from "./checked-options.ts";
export type { AsyncApiOptions, AsyncApiRequest, AsyncApiServer } from "./options.ts";
