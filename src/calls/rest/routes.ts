import type { DescField, Message } from "@bufbuild/protobuf";
import {
  CodecError,
  ContractError,
  type HttpBinding,
  hasDuplicateMembers,
  type JsonCodec,
  jsonCodec,
  type Method,
  type Service,
} from "../../contract/index.ts";
import { RestRequestError } from "./problem.ts";
import { findField, isParameter, refused, removeField, setParameter } from "./request-value.ts";
import { compareTemplates, fits, parseTemplate, percentDecode, type Template } from "./template.ts";

export type RestMatch =
  | { readonly kind: "none" }
  /** The path exists, but not with this method. */
  | { readonly kind: "wrong_verb"; readonly allow: readonly string[] }
  /** `captures`: the raw segments of the path. `query`: behind `?`, as sent. */
  | { readonly kind: "match"; readonly route: RestRoute; readonly captures: readonly string[]; readonly query: string };

/** One `google.api.http` rule of a unary method, compiled: how its requests and answers look. */
export class RestRoute {
  readonly method: Method;
  readonly verb: string;
  readonly template: Template;
  readonly wantsBody: boolean;
  readonly successStatus: number;
  readonly #binding: HttpBinding;
  readonly #bodyField: DescField | undefined;
  readonly #responseField: DescField | undefined;
  readonly #request: JsonCodec<Message>;
  readonly #response: JsonCodec<Message>;
  readonly #variables: readonly (readonly DescField[])[];

  /** @throws ContractError for a template or field name that means nothing */
  constructor(service: Service, method: Method, binding: HttpBinding, unknownFields: "ignore" | "reject") {
    const where = `${method.service}.${method.name}`;
    const { input, output } = method.desc;
    this.method = method;
    this.verb = binding.verb;
    this.template = parseTemplate(binding.template, where);
    this.wantsBody = binding.body !== "";
    this.successStatus = method.rest.successStatus;
    this.#binding = binding;
    this.#request = jsonCodec(input, { dialect: service.dialect, unknownFields });
    this.#response = jsonCodec(output, { dialect: service.dialect });
    this.#variables = this.template.variables.map(({ fieldPath }) => {
      const fields = findField(input, fieldPath);
      const last = fields?.at(-1);
      if (fields === undefined || last === undefined || last.fieldKind === "list" || !isParameter(last)) {
        throw new ContractError(
          `${where}: path "${binding.template}": "${fieldPath}" is no singular field of ${input.typeName}`,
        );
      }
      return fields;
    });
    const hasBodyField = binding.body !== "" && binding.body !== "*";
    this.#bodyField = hasBodyField ? input.fields.find(field => field.name === binding.body) : undefined;
    if (hasBodyField && this.#bodyField === undefined) {
      throw new ContractError(`${where}: body "${binding.body}" is no field of ${input.typeName}`);
    }
    this.#responseField =
      binding.responseBody === "" ? undefined : output.fields.find(field => field.name === binding.responseBody);
    if (binding.responseBody !== "" && this.#responseField === undefined) {
      throw new ContractError(`${where}: response_body "${binding.responseBody}" is no field of ${output.typeName}`);
    }
  }

  /** The request message. @throws RestRequestError with a violation for each fault */
  request(captures: readonly string[], query: string, body: string | undefined): Message {
    const value = this.#bodyValue(body);
    for (const [index, variable] of this.template.variables.entries()) {
      const raw = captures.slice(variable.start, this.#end(variable.end, captures)).join("/");
      const text = percentDecode(raw, variable.isMultiple);
      const name = variable.fieldPath;
      if (text === undefined) throw refused(name, "has a broken percent-encoding", "path.encoding");
      const fields = this.#variables[index] as readonly DescField[]; // one for each variable
      removeField(value, fields);
      setParameter(value, fields, name, text);
    }
    this.#query(value, query);
    try {
      return this.#request.decodeValue(value);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      throw new RestRequestError(error.message, [{ field: error.path, message: error.message, rule: error.rule }], {
        cause: error,
      });
    }
  }

  /** The answer's body in the service's dialect. */
  response(message: object): string {
    const text = this.#response.encode(message);
    if (this.#responseField === undefined) return text;
    const value = JSON.parse(text) as Record<string, unknown>;
    return JSON.stringify(
      value[this.#responseField.name] ?? value[this.#responseField.jsonName] ?? emptyOf(this.#responseField),
    );
  }

  /** The `Location` of what was made, from the contract's template. */
  location(message: object): string | undefined {
    return this.method.rest.location?.replace(/\{([^}]*)\}/g, (_, path: string) => {
      let value: unknown = message;
      for (const field of findField(this.method.desc.output, path) ?? []) {
        value = (value as Record<string, unknown> | undefined)?.[field.localName];
      }
      return encodeURIComponent(String(value ?? ""));
    });
  }

  #end(end: number, captures: readonly string[]): number {
    return end === this.template.segments.length ? captures.length : end;
  }

  #bodyValue(body: string | undefined): Record<string, unknown> {
    const value: Record<string, unknown> = Object.create(null) as Record<string, unknown>;
    if (!this.wantsBody || body === undefined || body === "") {
      if (this.#binding.body === "*" && body !== undefined) throw refused("", "the body is empty", "json.syntax");
      return value;
    }
    let parsed: unknown;
    try {
      parsed = JSON.parse(body);
    } catch (error) {
      throw refused("", `the body is not JSON: ${(error as Error).message}`, "json.syntax");
    }
    if (hasDuplicateMembers(body, parsed)) {
      throw refused("", "the body has an object with two members of the same name", "json.duplicate_field");
    }
    if (this.#bodyField !== undefined) {
      value[this.#bodyField.name] = parsed;
      return value;
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw refused("", "the body must be a JSON object", "json.type");
    }
    return parsed as Record<string, unknown>;
  }

  #query(value: Record<string, unknown>, query: string): void {
    if (query === "") return;
    for (const pair of query.split("&")) {
      if (pair === "") continue;
      const equals = pair.indexOf("=");
      const name = percentDecode((equals === -1 ? pair : pair.slice(0, equals)).replaceAll("+", " "));
      const text = percentDecode((equals === -1 ? "" : pair.slice(equals + 1)).replaceAll("+", " "));
      if (name === undefined || text === undefined) {
        throw refused(name ?? pair.slice(0, 100), "has a broken percent-encoding", "query.encoding");
      }
      if (this.#binding.body === "*")
        throw refused(name, "is a query parameter, but the body carries the request", "query.unknown");
      const fields = findField(this.method.desc.input, name);
      const isBound =
        fields !== undefined &&
        (fields[0] === this.#bodyField || this.#variables.some(bound => isSamePath(bound, fields)));
      if (fields === undefined || isBound) throw refused(name, "is not a parameter of this route", "query.unknown");
      setParameter(value, fields, name, text);
    }
  }
}

/**
 * All routes of some services. The more specific route wins whatever the order of declaration. Streaming methods have
 * no routes here yet.
 */
export class RestRoutes {
  readonly #routes: readonly RestRoute[];

  /** @throws ContractError for templates that do not parse, and for two routes of the same shape, naming both methods */
  constructor(services: readonly Service[], options: { readonly unknownFields?: "ignore" | "reject" } = {}) {
    const routes: RestRoute[] = [];
    const shapes = new Map<string, RestRoute>();
    for (const service of services) {
      for (const method of service.methods) {
        if (method.kind !== "unary") continue;
        for (const binding of method.http) {
          const route = new RestRoute(service, method, binding, options.unknownFields ?? "reject");
          const shape = `${route.verb} ${route.template.segments.map(shapeOf).join("/")}:${route.template.verb}`;
          const other = shapes.get(shape);
          if (other !== undefined) {
            throw new ContractError(
              `${method.service}.${method.name} and ${other.method.service}.${other.method.name} both have the route ${binding.verb} ${binding.template}`,
            );
          }
          shapes.set(shape, route);
          routes.push(route);
        }
      }
    }
    this.#routes = routes.sort((a, b) => compareTemplates(a.template, b.template));
  }

  /** The route of a request; `target` is path and query as sent. */
  match(verb: string, target: string): RestMatch {
    const mark = target.indexOf("?");
    const path = mark === -1 ? target : target.slice(0, mark);
    const query = mark === -1 ? "" : target.slice(mark + 1);
    const parts = path.slice(1).split("/");
    const last = parts.at(-1) ?? "";
    const colon = last.lastIndexOf(":");
    const allow = new Set<string>();
    for (const route of this.#routes) {
      const { template } = route;
      let captures: readonly string[] = parts;
      if (template.verb !== "") {
        if (colon === -1 || percentDecode(last.slice(colon + 1)) !== template.verb) continue;
        captures = [...parts.slice(0, -1), last.slice(0, colon)];
      }
      if (!fits(template, captures)) continue;
      if (route.verb === verb || route.verb === "*") return { kind: "match", route, captures, query };
      allow.add(route.verb);
      if (route.verb === "GET") allow.add("HEAD");
    }
    return allow.size === 0 ? { kind: "none" } : { kind: "wrong_verb", allow: [...allow] };
  }
}

/** The same field of the same message: recursive types have one field at many paths. */
function isSamePath(one: readonly DescField[], other: readonly DescField[]): boolean {
  return one.length === other.length && one.every((field, index) => field === other[index]);
}

/** What an absent field is in JSON. */
function emptyOf(field: DescField): unknown {
  if (field.fieldKind === "list") return [];
  return field.fieldKind === "map" ? {} : null;
}

function shapeOf(segment: Template["segments"][number]): string {
  if (segment.kind === "literal") return segment.text;
  return segment.kind === "one" ? "*" : "**";
}
