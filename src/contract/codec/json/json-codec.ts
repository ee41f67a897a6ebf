import type { DescMessage, Message, MessageShape, Registry } from "@bufbuild/protobuf";
import { BinaryCodecs } from "../binary/index.ts";
import { type Backend, defaultBackend } from "../code-generation.ts";
import { CodecError, within } from "../codec-error.ts";
import type { Local } from "../plan.ts";
import { type JsonDialect, protoJson } from "./dialect.ts";
import { duplicateKeys, hasDuplicates } from "./duplicate-keys.ts";
import { type JsonNode, JsonNodes } from "./json-node.ts";

/** Turns messages of one type into JSON and back. */
export interface JsonCodec<T = Message> {
  /**
   * The JSON text of a message or an initialiser.
   * @throws CodecError for a value that its field cannot hold, and for an Any whose type is not in the registry
   */
  encode(message: object): string;
  /**
   * Decodes JSON text. Members that come twice in one object are refused.
   * @throws CodecError with rule `json.syntax` for text that is no JSON, with the field's path for all else
   */
  decode(text: string): T;
  /** Decodes a parsed JSON value, which cannot tell duplicate members any more. */
  decodeValue(value: unknown): T;
}

/** What a JSON codec depends on besides the type. */
export interface JsonCodecOptions {
  /** @default plain ProtoJSON: JSON names, full enum names, no default values */
  readonly dialect?: JsonDialect | undefined;
  /** What is done with members that the type does not have, and with names that an enum does not have. @default "reject" */
  readonly unknownFields?: "ignore" | "reject" | undefined;
  /** Types for Any, and extensions. */
  readonly registry?: Registry | undefined;
}

class CompiledJsonCodec implements JsonCodec<unknown> {
  readonly #node: JsonNode;

  constructor(node: JsonNode) {
    this.#node = node;
  }

  encode(message: object): string {
    try {
      return this.#node.encode(message as Local);
    } catch (failure) {
      throw within("", failure);
    }
  }

  decode(text: string): unknown {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (cause) {
      throw new CodecError("json.syntax", `the text is not JSON: ${(cause as Error).message}`, "", { cause });
    }
    const state = { depth: 0, members: 0 };
    let message: Local;
    try {
      message = this.#node.decode(value, state);
    } catch (failure) {
      throw within("", failure);
    }
    if (hasDuplicates(text, state.members)) throw duplicateKeys();
    return message;
  }

  decodeValue(value: unknown): unknown {
    try {
      return this.#node.decode(value, { depth: 0, members: 0 });
    } catch (failure) {
      throw within("", failure);
    }
  }
}

/** The codecs of one backend; the package uses one instance, tests one for each. */
export class JsonCodecs {
  readonly #backend: Backend;
  readonly #binary: BinaryCodecs;
  readonly #withoutRegistry = new Map<string, JsonNodes>();
  readonly #byRegistry = new WeakMap<Registry, Map<string, JsonNodes>>();
  readonly #codecs = new WeakMap<JsonNode, JsonCodec<unknown>>();

  constructor(backend: Backend) {
    this.#backend = backend;
    this.#binary = new BinaryCodecs(backend);
  }

  get<D extends DescMessage>(schema: D, options: JsonCodecOptions = {}): JsonCodec<MessageShape<D>> {
    const node = this.#nodes(options).get(schema);
    let codec = this.#codecs.get(node);
    if (codec === undefined) {
      codec = new CompiledJsonCodec(node);
      this.#codecs.set(node, codec);
    }
    return codec as JsonCodec<MessageShape<D>>;
  }

  /** Equal options share their compiled types; a registry keeps its own as long as it lives. */
  #nodes(options: JsonCodecOptions): JsonNodes {
    const { dialect = protoJson, unknownFields = "reject", registry } = options;
    let family = this.#withoutRegistry;
    if (registry !== undefined) {
      family = this.#byRegistry.get(registry) ?? new Map<string, JsonNodes>();
      this.#byRegistry.set(registry, family);
    }
    const key = `${dialect.fieldNames} ${dialect.enumValues} ${dialect.emitDefaultValues} ${unknownFields}`;
    let nodes = family.get(key);
    if (nodes === undefined) {
      nodes = new JsonNodes({ dialect, unknownFields, registry, backend: this.#backend, binary: this.#binary });
      family.set(key, nodes);
    }
    return nodes;
  }
}

let codecs: JsonCodecs | undefined;

/** The JSON codec of a message type and options; compiled at the first call, the same object for equal options. */
export function jsonCodec<D extends DescMessage>(schema: D, options?: JsonCodecOptions): JsonCodec<MessageShape<D>> {
  codecs ??= new JsonCodecs(defaultBackend());
  return codecs.get(schema, options);
}
