import { isUtf8 } from "node:buffer";
import { create, type DescField, type DescMessage, type Message } from "@bufbuild/protobuf";
import type { Method, Service } from "../../contract/index.ts";
import {
  CodecError,
  ContractError,
  type HttpBinding,
  hasDuplicateMembers,
  type JsonCodec,
  type JsonDialect,
  jsonCodec,
  registryOf,
} from "../../contract/index.ts";
import { queryParametersMax, shownNameMax, shownPathMax } from "./limits.ts";
import { compileLocation, type LocationOf } from "./location.ts";
import { RestRequestError, refused } from "./problem.ts";
import { fieldValue, findField, isParameter, type JsonObject, removeField, setParameter } from "./request-value.ts";
import { parseTemplate, percentDecode, type Template, type Variable } from "./template.ts";

/** A body of any content type: bytes that are not JSON. */
export interface HttpBody {
  readonly contentType: string;
  readonly data: Uint8Array;
}

const httpBodyName = "google.api.HttpBody";

/** What a path and a query say: set on every message of the request, whatever its body says. */
export interface Parameter {
  readonly fields: readonly DescField[];
  readonly name: string;
  readonly text: string;
  readonly isFromPath: boolean;
}

/** One `google.api.http` rule of a method, compiled: how its requests and answers look. */
export class RestRoute {
  readonly method: Method;
  readonly service: Service;
  readonly binding: HttpBinding;
  readonly verb: string;
  readonly template: Template;
  readonly successStatus: number;
  /** How request bodies are read: `none` are ignored. */
  readonly bodyKind: "none" | "json" | "http-body";
  /** The body is this field; `undefined`: the whole message, or there is none. */
  readonly bodyField: DescField | undefined;
  /** How answers are written. */
  readonly responseKind: "json" | "http-body";
  readonly responseField: DescField | undefined;
  /** The `Location` of what was made; `undefined`: the contract names none. */
  readonly location: LocationOf | undefined;
  /** The fields that the template's variables bind. */
  readonly variables: readonly (readonly DescField[])[];
  /** What the answer's body is when `responseField` is absent. */
  readonly #absentPart: unknown;
  readonly #unknownFields: "ignore" | "reject";
  #requestCodec: JsonCodec<Message> | undefined;
  #responseCodec: JsonCodec<Message> | undefined;

  /** @throws ContractError for a template or field name that means nothing */
  constructor(service: Service, method: Method, binding: HttpBinding, unknownFields: "ignore" | "reject") {
    const where = `${method.service}.${method.name}`;
    const { input, output } = method.desc;
    this.method = method;
    this.service = service;
    this.binding = binding;
    this.verb = binding.verb;
    this.template = parseTemplate(binding.template, where);
    this.successStatus = method.rest.successStatus;
    this.#unknownFields = unknownFields;
    this.variables = this.template.variables.map(({ fieldPath }) => {
      const fields = findField(input, fieldPath);
      const last = fields?.at(-1);
      if (fields === undefined || last === undefined || last.fieldKind === "list" || !isParameter(last)) {
        throw new ContractError(
          `${where}: path "${binding.template}": "${fieldPath}" is no singular field of ${input.typeName}`,
        );
      }
      return fields;
    });
    this.bodyField = partOf(input, binding.body === "*" ? "" : binding.body, `${where}: body`);
    this.bodyKind = binding.body === "" ? "none" : isHttpBody(input, this.bodyField) ? "http-body" : "json";
    this.responseField = partOf(output, binding.responseBody, `${where}: response_body`);
    this.responseKind = isHttpBody(output, this.responseField) ? "http-body" : "json";
    this.location = compileLocation(method);
    this.#absentPart = absentPart(output, this.responseField, service.dialect);
  }

  /** Compiled when a request first needs it: for a contract of 500 methods it would be half of the start. */
  get #request(): JsonCodec<Message> {
    this.#requestCodec ??= jsonCodec(this.method.desc.input, {
      dialect: this.service.dialect,
      unknownFields: this.#unknownFields,
      registry: registryOf(this.method.desc.parent.file),
    });
    return this.#requestCodec;
  }

  get #response(): JsonCodec<Message> {
    this.#responseCodec ??= jsonCodec(this.method.desc.output, {
      dialect: this.service.dialect,
      registry: registryOf(this.method.desc.parent.file),
    });
    return this.#responseCodec;
  }

  /**
   * What the path and the query say. @throws RestRequestError naming the parameter
   * @param segments the raw segments of the path; @param query behind `?`, as sent
   */
  parameters(segments: readonly string[], query: string): readonly Parameter[] {
    const { variables } = this.template;
    if (variables.length === 0 && query === "") return none;
    const parameters: Parameter[] = [];
    for (let index = 0; index < variables.length; index++) {
      const { fieldPath: name, start, end, isMultiple } = variables[index] as Variable;
      const isToEnd = end === this.template.segments.length;
      const raw = isMultiple
        ? segments.slice(start, isToEnd ? segments.length : end).join("/")
        : (segments[start] as string); // as many as the template has
      const text = percentDecode(raw, isMultiple);
      if (text === undefined) throw refused(name, "has a broken percent-encoding", "path.encoding");
      parameters.push({ fields: this.variables[index] as readonly DescField[], name, text, isFromPath: true });
    }
    if (query !== "") this.#query(parameters, query);
    return parameters;
  }

  /** The request message. @throws RestRequestError with a violation for each fault @param body of a JSON route */
  request(parameters: readonly Parameter[], body: Buffer | undefined): Message {
    try {
      if (body !== undefined && parameters.length === 0 && this.bodyField === undefined) {
        // The codec looks for duplicate members on its way, which is cheaper.
        return this.#request.decode(utf8(body));
      }
      const value = body === undefined ? emptyObject() : this.#bodyValue(utf8(body));
      for (const { fields, name, text, isFromPath } of parameters) {
        if (isFromPath && body !== undefined) removeField(value, fields);
        setParameter(value, fields, name, text);
      }
      return this.#request.decodeValue(value);
    } catch (error) {
      if (!(error instanceof CodecError)) throw error;
      const field = shortened(error.path, shownPathMax);
      const text = field === "" ? error.message : `${field}: ${error.message}`;
      throw new RestRequestError(text, [{ field, message: error.message, rule: error.rule }], { cause: error });
    }
  }

  /** The request message around a body of any type. */
  requestWith(parameters: readonly Parameter[], body: HttpBody): Message {
    const field = this.bodyField;
    if (field === undefined) return create(this.method.desc.input, body as never);
    const message = this.request(parameters, undefined);
    const value = create(field.message as DescMessage, body as never);
    const target = message as unknown as JsonObject;
    if (field.oneof === undefined) target[field.localName] = value;
    else target[field.oneof.localName] = { case: field.localName, value };
    return message;
  }

  /** The answer's body in the service's dialect. */
  response(message: object): string {
    const field = this.responseField;
    const text = this.#response.encode(message);
    if (field === undefined) return text;
    const value = JSON.parse(text) as JsonObject;
    return JSON.stringify(value[field.name] ?? value[field.jsonName] ?? this.#absentPart);
  }

  /** The answer's body where it has a content type of its own. */
  responseBody(message: object): HttpBody {
    const field = this.responseField;
    const body = field === undefined ? message : fieldValue(message, field);
    const { contentType, data } = (body ?? {}) as Partial<HttpBody>;
    const type = contentType === undefined || contentType === "" ? "application/octet-stream" : contentType;
    if (!/^[\x20-\x7e]+$/.test(type)) throw new Error(`${this.method.path} answered with content type ${type}`);
    return { contentType: type, data: data ?? new Uint8Array() };
  }

  #bodyValue(text: string): JsonObject {
    let parsed: unknown;
    try {
      parsed = JSON.parse(text);
    } catch (error) {
      throw new CodecError("json.syntax", `the text is not JSON: ${(error as Error).message}`, "", { cause: error });
    }
    if (hasDuplicateMembers(text, parsed)) {
      throw new CodecError("json.duplicate_field", "an object has two members of the same name");
    }
    if (this.bodyField !== undefined) {
      const value = emptyObject();
      value[this.bodyField.name] = parsed;
      return value;
    }
    if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
      throw new CodecError("json.type", "the body must be a JSON object");
    }
    return parsed as JsonObject;
  }

  #query(parameters: Parameter[], query: string): void {
    const pairs = query.split("&");
    if (pairs.length > queryParametersMax) {
      throw refused("", `the query has more than ${queryParametersMax} parameters`, "query.count");
    }
    for (const pair of pairs) {
      if (pair === "") continue;
      const equals = pair.indexOf("=");
      const name = queryText(equals === -1 ? pair : pair.slice(0, equals));
      const text = queryText(equals === -1 ? "" : pair.slice(equals + 1));
      if (name === undefined || text === undefined) {
        throw refused(shortened(name ?? pair), "has a broken percent-encoding", "query.encoding");
      }
      if (this.binding.body === "*") {
        throw refused(shortened(name), "is a query parameter, but the body carries the request", "query.unknown");
      }
      const fields = findField(this.method.desc.input, name);
      const isBound =
        fields !== undefined &&
        (fields[0] === this.bodyField || this.variables.some(bound => isSamePath(bound, fields)));
      if (fields === undefined || isBound) {
        throw refused(shortened(name), "is not a parameter of this route", "query.unknown");
      }
      parameters.push({ fields, name, text, isFromPath: false });
    }
  }
}

const none: readonly Parameter[] = [];

function utf8(body: Buffer): string {
  if (!isUtf8(body)) throw new CodecError("json.encoding", "the body is not UTF-8");
  return body.toString("utf8");
}

function emptyObject(): JsonObject {
  return Object.create(null) as JsonObject;
}

/** Form decoding, where `+` is a blank; `undefined` for a broken encoding. */
function queryText(text: string): string | undefined {
  return percentDecode(text.includes("+") ? text.replaceAll("+", " ") : text);
}

/** What a peer sent, short enough to be said back. */
function shortened(name: string, charactersMax = shownNameMax): string {
  return name.length > charactersMax ? `${name.slice(0, charactersMax)}…` : name;
}

function partOf(desc: DescMessage, name: string, where: string): DescField | undefined {
  if (name === "") return undefined;
  const field = desc.fields.find(one => one.name === name);
  if (field === undefined) throw new ContractError(`${where} "${name}" is no field of ${desc.typeName}`);
  return field;
}

function isHttpBody(desc: DescMessage, field: DescField | undefined): boolean {
  if (field === undefined) return desc.typeName === httpBodyName;
  return field.fieldKind === "message" && field.message.typeName === httpBodyName;
}

/** The same field of the same message: recursive types have one field at many paths. */
function isSamePath(one: readonly DescField[], other: readonly DescField[]): boolean {
  return one.length === other.length && one.every((field, index) => field === other[index]);
}

/** An absent field in JSON: the default value that messages leave out, `null` where absence has a meaning. */
function absentPart(desc: DescMessage, field: DescField | undefined, dialect: JsonDialect): unknown {
  if (field === undefined) return undefined;
  const text = jsonCodec(desc, { dialect: { ...dialect, emitDefaultValues: true } }).encode(create(desc));
  const defaults = JSON.parse(text) as JsonObject;
  return defaults[field.name] ?? defaults[field.jsonName] ?? null;
}
