import type { Observer, Platform } from "../../platform/index.ts";
import type { SchemaRegistryOptions } from "../broker.ts";
import { BrokerError } from "../errors.ts";
import { type HttpAnswer, RegistryHttp } from "./http.ts";

/** The registry has not done what was asked. */
export class RegistryError extends Error {
  override readonly name = "RegistryError";
  /** It may do so later: it was not reached, or is ill. */
  readonly isRetryable: boolean;
  /** There is no such thing. */
  readonly isUnknown: boolean;

  constructor(message: string, isRetryable: boolean, isUnknown = false, options?: ErrorOptions) {
    super(message, options);
    this.isRetryable = isRetryable;
    this.isUnknown = isUnknown;
  }
}

export type SchemaType = "PROTOBUF" | "JSON" | "AVRO";

export interface RegisteredSchema {
  readonly schema: string;
  readonly type: string;
}

export interface SchemaReference {
  /** As the file imports it. */
  readonly name: string;
  readonly subject: string;
  readonly version: number;
}

export interface NewSchema {
  readonly schema: string;
  readonly schemaType: SchemaType;
  readonly references: readonly SchemaReference[];
}

export interface Registration {
  readonly id: number;
  /** Of the subject. */
  readonly version: number;
}

/** The REST API of Confluent's registry, which Karapace and Apicurio have too, as far as it is needed. */
export interface Registry {
  schemaById(id: number): Promise<RegisteredSchema>;
  /** The registration of a schema that is there. @throws RegistryError, `isUnknown` when it is not */
  lookup(subject: string, schema: NewSchema): Promise<Registration>;
  /** Registers a schema, or finds that it is. @throws RegistryError */
  register(subject: string, schema: NewSchema): Promise<Registration>;
  close(): void;
}

/** @throws BrokerError for options that mean nothing */
export function openRegistry(options: SchemaRegistryOptions, platform: Platform, observer: Observer): Registry {
  return new HttpRegistry(new RegistryHttp(options, platform, observer));
}

const incompatible = 409;

class HttpRegistry implements Registry {
  readonly #http: RegistryHttp;

  constructor(http: RegistryHttp) {
    this.#http = http;
  }

  async schemaById(id: number): Promise<RegisteredSchema> {
    const what = `schema ${id}`;
    const answer = await this.#ask(what, "GET", `/schemas/ids/${id}`);
    const { schema, schemaType = "AVRO" } = answer;
    if (typeof schema !== "string" || typeof schemaType !== "string") throw this.#strange(what);
    return { schema, type: schemaType };
  }

  async lookup(subject: string, schema: NewSchema): Promise<Registration> {
    const what = `the schema of subject ${subject}`;
    const path = `/subjects/${encodeURIComponent(subject)}?normalize=true`;
    const { id, version } = await this.#ask(what, "POST", path, schema);
    return this.#registration(what, id, version);
  }

  async register(subject: string, schema: NewSchema): Promise<Registration> {
    const what = `the schema of subject ${subject}`;
    const path = `/subjects/${encodeURIComponent(subject)}`;
    const { id, version } = await this.#ask(what, "POST", `${path}/versions?normalize=true`, schema);
    // Older registries tell only the id; references need the version.
    return typeof version === "number" ? this.#registration(what, id, version) : this.lookup(subject, schema);
  }

  close(): void {
    this.#http.close();
  }

  #registration(what: string, id: unknown, version: unknown): Registration {
    if (!isNumber(id, 0xff_ff_ff_ff) || !isNumber(version, 2 ** 31)) throw this.#strange(what);
    return { id, version };
  }

  async #ask(
    what: string,
    method: "GET" | "POST",
    path: string,
    body?: object,
  ): Promise<Readonly<Record<string, unknown>>> {
    let answer: HttpAnswer;
    try {
      answer = await this.#http.request(method, path, body);
    } catch (cause) {
      throw new RegistryError(
        `the schema registry ${this.#http.name} did not answer: ${(cause as Error).message}`,
        true,
        false,
        { cause },
      );
    }
    const said = jsonObject(answer.body);
    if (answer.status === 200) {
      if (said === undefined) throw this.#strange(what);
      return said;
    }
    throw this.#refusal(what, answer.status, said);
  }

  #refusal(what: string, status: number, said: Readonly<Record<string, unknown>> | undefined): RegistryError {
    const { message } = said ?? {};
    const text = typeof message === "string" ? `: ${printable(message)}` : "";
    const where = `the schema registry ${this.#http.name}`;
    if (status === 401 || status === 403) {
      const what = "may not do this; check kafka.schemaRegistry.auth and the rights of that user";
      return new RegistryError(`${where}: the user ${what}${text}`, false);
    }
    if (status === incompatible) {
      return new RegistryError(
        `${where}: ${what} is not compatible with what is registered${text}; change the contract so that old readers still understand it, or the compatibility of the subject`,
        false,
      );
    }
    // Only an answer of the registry itself: a proxy's page says nothing of schemas.
    const isUnknown = status === 404 && typeof said?.["error_code"] === "number";
    if (isUnknown) return new RegistryError(`${where} does not know ${what}`, false, true);
    const isRetryable = status >= 500 || status === 429 || status === 408 || status === 404;
    return new RegistryError(`${where} answered ${status} for ${what}${text}`, isRetryable);
  }

  #strange(what: string): RegistryError {
    return new RegistryError(
      `the schema registry ${this.#http.name} gave an answer for ${what} that cannot be understood; is it a schema registry?`,
      true,
    );
  }
}

function jsonObject(body: Buffer): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(body.toString("utf8"));
    return typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>) : undefined;
  } catch {
    return undefined;
  }
}

function isNumber(value: unknown, max: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= 0 && value <= max;
}

/** Foreign text in a message of ours: one line, and not long. */
function printable(text: string): string {
  return text.replace(/[^\x20-\x7e]+/g, " ").slice(0, 500);
}

export function strategyOf(value: unknown): NonNullable<SchemaRegistryOptions["subjects"]> {
  if (value === undefined) return "topic-name";
  if (value === "topic-name" || value === "record-name" || value === "topic-record-name") return value;
  throw new BrokerError(
    `connectBroker: kafka.schemaRegistry.subjects is ${JSON.stringify(value)}; it must be "topic-name", "record-name" or "topic-record-name"`,
  );
}
