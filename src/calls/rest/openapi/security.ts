import type { Method } from "../../../contract/index.ts";
import { isForEverybody, needsPrincipal, type SecurityScheme } from "../../rpc/index.ts";

/** How callers prove who they are, for the document. */
export interface OpenApiSecurity {
  /** Which methods need a known caller: `all` that the contract does not open, or only those that it marks. */
  readonly methods: "all" | "marked";
  /** Each of these will do. */
  readonly schemes: readonly SecurityScheme[];
}

/** Where nobody says how: the contract's `auth` is then meant for something in front, which most often wants a token. */
const unsaid: OpenApiSecurity = { methods: "marked", schemes: [{ type: "bearer", format: "JWT" }] };

/** A security scheme object, and an alternative of security requirements (OpenAPI 3.1, sections 4.8.27 and 4.8.30). */
export type SchemeObject = Readonly<Record<string, string>>;
export type SecurityRequirement = Readonly<Record<string, readonly string[]>>;

/** The schemes of a document, by the names under which operations ask for them. */
export class DocumentedSecurity {
  readonly schemes: Readonly<Record<string, SchemeObject>>;
  readonly #methods: OpenApiSecurity["methods"];

  constructor({ methods, schemes }: OpenApiSecurity = unsaid) {
    this.#methods = methods;
    const named: Record<string, SchemeObject> = {};
    for (const scheme of schemes) {
      for (const [name, object] of Object.entries(objectsOf(scheme))) named[unusedName(name, object, named)] = object;
    }
    this.schemes = named;
  }

  /** Whether calls of a method need a known caller. */
  guards(method: Method): boolean {
    return !isForEverybody(method) && needsPrincipal(method, this.#methods);
  }

  /** What an operation asks for: one of the schemes, with the scopes of its method. */
  requirements({ auth }: Method): readonly SecurityRequirement[] {
    return Object.keys(this.schemes).map(name => ({ [name]: auth.scopes }));
  }
}

/** Some are shown in two ways: a token whose issuer describes itself, for tools that can log in and for those that cannot. */
function objectsOf(scheme: SecurityScheme): Readonly<Record<string, SchemeObject>> {
  switch (scheme.type) {
    case "bearer": {
      const format = scheme.format === undefined ? {} : { bearerFormat: scheme.format };
      const bearer: SchemeObject = { type: "http", scheme: "bearer", ...format };
      if (scheme.discoveryUrl === undefined) return { bearer };
      return { bearer, openIdConnect: { type: "openIdConnect", openIdConnectUrl: scheme.discoveryUrl } };
    }
    case "basic":
      return { basic: { type: "http", scheme: "basic" } };
    case "apiKey":
      return { apiKey: { type: "apiKey", in: "header", name: scheme.header } };
    case "mutualTLS":
      return { mutualTLS: { type: "mutualTLS" } };
  }
}

/** A name that is free, or taken by the same object. */
function unusedName(plain: string, object: SchemeObject, named: Readonly<Record<string, SchemeObject>>): string {
  let name = plain;
  const text = JSON.stringify(object);
  for (let copy = 2; named[name] !== undefined && JSON.stringify(named[name]) !== text; copy++)
    name = `${plain}${copy}`;
  return name;
}
