import type { DescMessage, Registry } from "@bufbuild/protobuf";
import type { BinaryCodecs } from "../binary/index.ts";
import type { Backend } from "../code-generation.ts";
import { CodecError } from "../codec-error.ts";
import { type FieldPlan, type Local, type MessagePlan, planMessage } from "../plan.ts";
import { decodeWithClosures } from "./decode-closures.ts";
import { generateJsonDecode } from "./decode-generated.ts";
import type { JsonDialect } from "./dialect.ts";
import { encodeWithClosures } from "./encode-closures.ts";
import { generateJsonEncode } from "./encode-generated.ts";
import { wellKnown } from "./well-known.ts";

/** The JSON text of a message. */
export type EncodeJson = (message: Local) => string;

/** The message of a parsed JSON value. */
export type DecodeJson = (json: unknown, state: JsonState) => Local;

/** What is counted during one decoding. */
export interface JsonState {
  /** Messages that enclose the value. */
  depth: number;
  /** Members of objects that were seen. */
  members: number;
}

/** Everything on which the compiled functions depend besides the type. */
export interface JsonOptions {
  readonly dialect: JsonDialect;
  readonly unknownFields: "ignore" | "reject";
  readonly registry: Registry | undefined;
  readonly backend: Backend;
  /** For the content of Any and the values of extensions. */
  readonly binary: BinaryCodecs;
}

/** The functions of one message type. Types refer to each other through these objects, so that they may recurse. */
export class JsonNode {
  readonly plan: MessagePlan;
  encode: EncodeJson = unfinished;
  decode: DecodeJson = unfinished;

  constructor(plan: MessagePlan) {
    this.plan = plan;
  }
}

function unfinished(): never {
  throw new CodecError("codec.unfinished", "the codec is still being compiled");
}

/** The message types that were compiled with one set of options. */
export class JsonNodes {
  readonly options: JsonOptions;
  readonly #nodes = new WeakMap<DescMessage, JsonNode>();

  constructor(options: JsonOptions) {
    this.options = options;
  }

  get(desc: DescMessage): JsonNode {
    let node = this.#nodes.get(desc);
    if (node !== undefined) return node;
    const plan = planMessage(desc);
    node = new JsonNode(plan);
    // Known before its fields are compiled, so that a type may contain itself.
    this.#nodes.set(desc, node);
    const special = wellKnown(desc, this);
    if (special !== undefined) {
      node.encode = special.encode;
      node.decode = special.decode;
    } else if (this.options.backend === "generated") {
      node.encode = generateJsonEncode(plan, this);
      node.decode = generateJsonDecode(plan, this);
    } else {
      node.encode = encodeWithClosures(plan, this);
      node.decode = decodeWithClosures(plan, this);
    }
    return node;
  }

  /** A field's name on output and in error paths. */
  nameOf(field: FieldPlan): string {
    return this.options.dialect.fieldNames === "proto" ? field.protoName : field.jsonName;
  }
}
