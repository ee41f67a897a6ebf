/**
 * Who makes a call: interceptors that find out (tokens, certificates, functions of one's own) and hold callers to what the
 * contract asks for, and the client's half. May import `rpc` and what that may. Start at `authenticate.ts`; `jwt.ts` and
 * `client-certificate.ts` are the two ways to find out, `remote-keys.ts` keeps an issuer's keys.
 */
export { type AuthenticateOptions, type AuthenticationSource, authenticate } from "./authenticate.ts";
export type { Authenticator, AuthenticatorHost, CredentialsRefused, Identify } from "./authenticator.ts";
export { type BearerOptions, bearer } from "./bearer.ts";
export { bearerToken } from "./bearer-token.ts";
export { type CertificateIdentity, type ClientCertificateOptions, clientCertificate } from "./client-certificate.ts";
export { type JwtOptions, jwt } from "./jwt.ts";
export type { JsonWebKey, JsonWebKeySet } from "./key-documents.ts";
export type { KeyLimits } from "./limits.ts";
export type { FetchDocument, KeysFetched, KeysFetchFailed } from "./remote-keys.ts";
