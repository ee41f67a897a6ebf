import type { DescField, DescMessage } from "@bufbuild/protobuf";
import { type Method, requestIsStream, responseIsStream, type Service } from "../../../contract/index.ts";
import { constraintsOf, type Schema, Schemas } from "../../../contract/schema/index.ts";
import { findField, hasFields, isParameter } from "../request-value.ts";
import type { RestRoute } from "../route.ts";
import { DocumentedSecurity, type OpenApiSecurity, type SchemeObject, type SecurityRequirement } from "./security.ts";

export interface OpenApiOptions {
  /** @default the names of the services */
  readonly title?: string | undefined;
  /** The version of the API. @default "1.0.0" */
  readonly version?: string | undefined;
  readonly description?: string | undefined;
  /** Where the API is served. @default the origin of the document */
  readonly servers?: readonly { readonly url: string; readonly description?: string }[] | undefined;
  /**
   * How callers prove who they are. @default what the server's authenticating interceptor asks for; without one, a bearer
   * token for the methods that the contract marks
   */
  readonly security?: OpenApiSecurity | undefined;
}

export interface OpenApiDocument {
  readonly openapi: "3.1.0";
  readonly info: { readonly title: string; readonly version: string; readonly description?: string };
  readonly servers?: NonNullable<OpenApiOptions["servers"]>;
  readonly tags: readonly { readonly name: string }[];
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>;
    readonly responses: Readonly<Record<string, Response>>;
    readonly securitySchemes?: Readonly<Record<string, SchemeObject>>;
  };
}

export interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly tags: readonly string[];
  readonly parameters?: readonly Parameter[];
  readonly requestBody?: { readonly required: boolean; readonly content: Content };
  readonly responses: Readonly<Record<string, Response | { readonly $ref: string }>>;
  readonly security?: readonly SecurityRequirement[];
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly schema: Schema;
  readonly description?: string;
  readonly style?: "form";
  readonly explode?: boolean;
}

type Content = Readonly<Record<string, { readonly schema?: Schema; readonly example?: unknown }>>;

interface Response {
  readonly description: string;
  readonly headers?: Readonly<Record<string, { readonly description: string; readonly schema: Schema }>>;
  readonly content?: Content;
}

/** What something beside the contract, such as an interceptor, adds to the operations of a method. */
export interface OperationAdditions {
  readonly parameters?: readonly Parameter[];
  readonly responses?: Operation["responses"];
  /** Of the answer of success. */
  readonly responseHeaders?: NonNullable<Response["headers"]>;
}

/** Query parameters of messages in messages are listed to this depth; all depths are accepted. */
const queryDepthMax = 3;

/** The OpenAPI 3.1 document of some routes. */
export function openApiDocument(
  routes: readonly RestRoute[],
  options: OpenApiOptions = {},
  additions: (method: Method) => OperationAdditions = () => ({}),
): OpenApiDocument {
  const schemas = new Schemas();
  schemas.components["Problem"] = problemSchema;
  const security = new DocumentedSecurity(options.security);
  const services = [...new Set(routes.map(({ service }) => service))];
  const paths: Record<string, Record<string, Operation>> = {};
  const ids = new Set<string>();
  for (const route of routes) {
    const verb = route.verb.toLowerCase();
    if (!verbs.includes(verb)) continue;
    const { path, parameters } = pathOf(route, schemas);
    paths[path] ??= {};
    paths[path][verb] = operation(
      route,
      parameters,
      schemas,
      security,
      operationId(route, ids),
      additions(route.method),
    );
  }
  const isGuarded = routes.some(({ method }) => security.guards(method));
  return {
    openapi: "3.1.0",
    info: {
      title: options.title ?? services.map(({ typeName }) => typeName).join(", "),
      version: options.version ?? "1.0.0",
      ...(options.description === undefined ? {} : { description: options.description }),
    },
    ...(options.servers === undefined ? {} : { servers: options.servers }),
    tags: services.map(({ typeName }) => ({ name: typeName })),
    paths,
    components: {
      schemas: schemas.components,
      responses: {
        Problem: problemResponse,
        ...(isGuarded ? { Unauthenticated: unauthenticated, Forbidden: forbidden } : {}),
      },
      ...(isGuarded ? { securitySchemes: security.schemes } : {}),
    },
  };
}

/** The methods that a path item has a place for (OpenAPI 3.1). */
const verbs: readonly string[] = ["get", "put", "post", "delete", "options", "head", "patch", "trace"];

const problemSchema: Schema = {
  type: "object",
  description: "RFC 9457 problem details",
  properties: {
    type: { type: "string", format: "uri-reference" },
    title: { type: "string" },
    status: { type: "integer" },
    detail: { type: "string" },
    instance: { type: "string" },
    code: { type: "string", description: "The canonical code, for example not_found." },
    violations: {
      type: "array",
      items: {
        type: "object",
        properties: { field: { type: "string" }, message: { type: "string" }, rule: { type: "string" } },
        required: ["field", "message", "rule"],
      },
    },
    details: { type: "array", items: { type: "object", additionalProperties: true } },
  },
  required: ["type", "title", "status", "instance", "code"],
};

const problemResponse: Response = {
  description: "What went wrong.",
  content: { "application/problem+json": { schema: { $ref: "#/components/schemas/Problem" } } },
};

const challengeHeader = {
  description: "How to prove who you are (RFC 9110, RFC 6750).",
  schema: { type: "string" },
} as const;

const unauthenticated: Response = {
  ...problemResponse,
  description: "The request does not say who sends it, or with credentials that do not count.",
  headers: { "WWW-Authenticate": challengeHeader },
};

const forbidden: Response = {
  ...problemResponse,
  description: "The sender may not do this, for example because of scopes that it has not been granted.",
  headers: { "WWW-Authenticate": challengeHeader },
};

function operationId({ method }: RestRoute, ids: Set<string>): string {
  const plain = `${method.service}.${method.name}`;
  let id = plain;
  for (let copy = 2; ids.has(id); copy++) id = `${plain}.${copy}`;
  ids.add(id);
  return id;
}

/** The template in OpenAPI's spelling, where a variable is one segment at most, with its parameters. */
function pathOf(
  route: RestRoute,
  schemas: Schemas,
): { readonly path: string; readonly parameters: readonly Parameter[] } {
  const { segments, variables, verb } = route.template;
  const parameters: Parameter[] = [];
  const parts = segments.map((segment, index) => {
    if (segment.kind === "literal") return segment.text;
    const at = variables.findIndex(({ start, end }) => index >= start && index < end);
    const variable = variables[at];
    const field = route.variables[at]?.at(-1);
    const wild =
      variable && segments.slice(variable.start, variable.end).filter(({ kind }) => kind !== "literal").length > 1;
    const name =
      variable === undefined
        ? `segment${index}`
        : wild
          ? `${variable.fieldPath}.${index - variable.start}`
          : variable.fieldPath;
    const own =
      field === undefined || variable?.isMultiple ? undefined : parameterSchema(field, route.service, schemas);
    parameters.push({ name, in: "path", required: true, schema: withLength(own ?? { type: "string" }) });
    return `{${name}}`;
  });
  return { path: `/${parts.join("/")}${verb === "" ? "" : `:${verb}`}`, parameters };
}

/** An empty segment is no segment. */
function withLength(schema: Schema): Schema {
  return schema.type === "string" && schema.minLength === undefined ? { ...schema, minLength: 1 } : schema;
}

function parameterSchema(field: DescField, service: Service, schemas: Schemas): Schema {
  return schemas.field(field, service.dialect, "parameter");
}

function operation(
  route: RestRoute,
  fromPath: readonly Parameter[],
  schemas: Schemas,
  security: DocumentedSecurity,
  id: string,
  added: OperationAdditions,
): Operation {
  const { method, binding } = route;
  const fromQuery = binding.body === "*" ? [] : queryParameters(route, schemas);
  const parameters = [...fromPath, ...fromQuery, ...(added.parameters ?? [])];
  const body = requestBody(route, schemas);
  const isGuarded = security.guards(method);
  return {
    operationId: id,
    summary: method.name.replace(/(?<=[a-z0-9])(?=[A-Z])/g, " "),
    tags: [method.service],
    ...(parameters.length > 0 ? { parameters } : {}),
    ...(body === undefined ? {} : { requestBody: body }),
    responses: responses(route, schemas, isGuarded, added),
    ...(isGuarded ? { security: security.requirements(method) } : {}),
  };
}

function queryParameters(route: RestRoute, schemas: Schemas): readonly Parameter[] {
  const { service, bodyField, variables } = route;
  const bound = new Set(variables.map(fields => fields.map(({ name }) => name).join(".")));
  const parameters: Parameter[] = [];
  const visit = (desc: DescMessage, prefix: string, path: string, depth: number, isRequired: boolean): void => {
    for (const field of desc.fields) {
      if (depth === 0 && field === bodyField) continue;
      const own = service.dialect.fieldNames === "proto" ? field.name : field.jsonName;
      const name = prefix + own;
      const fieldPath = path + field.name;
      if (bound.has(fieldPath)) continue;
      if (isParameter(field)) {
        const schema = parameterSchema(field, service, schemas);
        const required = isRequired && constraintsOf(field).isRequired;
        const style = field.fieldKind === "list" ? ({ style: "form", explode: true } as const) : {};
        parameters.push({ name, in: "query", required, schema, ...style });
      } else if (
        field.fieldKind === "message" &&
        hasFields(field.message) &&
        depth < queryDepthMax &&
        findField(desc, field.name) !== undefined
      ) {
        visit(field.message, `${name}.`, `${fieldPath}.`, depth + 1, false);
      }
    }
  };
  visit(route.method.desc.input, "", "", 0, true);
  return parameters;
}

function requestBody(route: RestRoute, schemas: Schemas): Operation["requestBody"] {
  if (route.bodyKind === "none") return undefined;
  if (route.bodyKind === "http-body") return { required: false, content: { "*/*": {} } };
  const { method, service, bodyField, variables } = route;
  const { input } = method.desc;
  // Fields of the message itself that the path decides are not asked for twice.
  const decided = new Set(variables.filter(fields => fields.length === 1).map(fields => fields[0] as DescField));
  const schema =
    bodyField !== undefined
      ? schemas.field(bodyField, service.dialect, "input")
      : decided.size === 0
        ? schemas.message(input, service.dialect, "input")
        : schemas.object(input, service.dialect, "input", decided);
  const isStream = requestIsStream(method.kind);
  const type = isStream ? "application/x-ndjson" : "application/json";
  const object = schemas.object(input, service.dialect, "input", decided);
  const required = bodyField === undefined ? object.required !== undefined : constraintsOf(bodyField).isRequired;
  return {
    required: required && !isStream,
    content: { [type]: { schema, example: schemas.example(schema) } },
  };
}

function responses(
  route: RestRoute,
  schemas: Schemas,
  isGuarded: boolean,
  added: OperationAdditions,
): Operation["responses"] {
  const { method, service, responseField } = route;
  const { output } = method.desc;
  const isStream = responseIsStream(method.kind);
  const isCached = method.idempotency === "no_side_effects" && route.verb === "GET" && !isStream;
  const schema =
    responseField === undefined
      ? schemas.message(output, service.dialect, "output")
      : schemas.field(responseField, service.dialect, "output");
  const shown = { schema, example: schemas.example(schema) };
  const content: Content =
    route.responseKind === "http-body"
      ? { "*/*": {} }
      : isStream
        ? { "application/x-ndjson": shown, "text/event-stream": { schema: { type: "string" } } }
        : { "application/json": shown };
  const text: Schema = { type: "string" };
  const headers = {
    ...(method.rest.location === undefined ? {} : { Location: { description: "Where it is.", schema: text } }),
    ...(isCached ? { ETag: { description: "Changes when the answer does.", schema: text } } : {}),
    ...added.responseHeaders,
  };
  return {
    [String(route.successStatus)]: {
      description: isStream ? "A stream of messages." : "Success.",
      ...(Object.keys(headers).length > 0 ? { headers } : {}),
      content,
    },
    ...(isCached ? { "304": { description: "Not changed since the answer whose ETag was sent." } } : {}),
    "400": { $ref: "#/components/responses/Problem" },
    ...(isGuarded
      ? {
          "401": { $ref: "#/components/responses/Unauthenticated" },
          "403": { $ref: "#/components/responses/Forbidden" },
        }
      : {}),
    ...added.responses,
    default: { $ref: "#/components/responses/Problem" },
  };
}
