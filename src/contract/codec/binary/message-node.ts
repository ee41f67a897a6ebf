import type { DescMessage } from "@bufbuild/protobuf";
import type { ByteWriter } from "../../../platform/index.ts";
import type { Backend } from "../code-generation.ts";
import { CodecError } from "../codec-error.ts";
import { emptyMessage, type Local, type MessagePlan, planMessage } from "../plan.ts";
import { type FieldReader, fieldReader, readGroupInto, readInto } from "./decode-closures.ts";
import { generateDecode } from "./decode-generated.ts";
import { encodeWithClosures } from "./encode-closures.ts";
import { generateEncode } from "./encode-generated.ts";
import type { Cursor } from "./read-scalar.ts";

/** Writes a message's fields from a position on and returns the position behind them. */
export type EncodeMessage = (message: Local, writer: ByteWriter, position: number) => number;

/** Reads a message of `bytes[pos, end)`; the position behind it is left in the cursor. */
export type DecodeMessage = (bytes: Uint8Array, pos: number, end: number, cursor: Cursor) => Local;

/** The functions of one message type. Types refer to each other through these objects, so that they may recurse. */
export class MessageNode {
  readonly plan: MessagePlan;
  readonly #nodes: MessageNodes;
  #readers: Map<number, FieldReader> | undefined;
  encode: EncodeMessage;
  decode: DecodeMessage;

  constructor(plan: MessagePlan, nodes: MessageNodes) {
    this.plan = plan;
    this.#nodes = nodes;
    this.encode = unfinished;
    this.decode = (bytes, pos, end, cursor) => {
      const message = emptyMessage(plan);
      this.merge(message, bytes, pos, end, cursor);
      return message;
    };
  }

  /** Reads fields into a message that is there already: a singular field that came twice. */
  merge(message: Local, bytes: Uint8Array, pos: number, end: number, cursor: Cursor): void {
    readInto(this.readers, message, bytes, pos, end, cursor);
  }

  /** Like `merge`, to the end of a group. */
  mergeGroup(message: Local, bytes: Uint8Array, pos: number, fieldNumber: number, cursor: Cursor): void {
    readGroupInto(this.readers, message, bytes, pos, fieldNumber, cursor);
  }

  get readers(): Map<number, FieldReader> {
    this.#readers ??= new Map(this.plan.fields.map(field => [field.number, fieldReader(field, this.#nodes)]));
    return this.#readers;
  }
}

function unfinished(): never {
  throw new CodecError("codec.unfinished", "the codec is still being compiled");
}

/** The message types that were compiled for one backend. */
export class MessageNodes {
  readonly #nodes = new WeakMap<DescMessage, MessageNode>();
  readonly #backend: Backend;

  constructor(backend: Backend) {
    this.#backend = backend;
  }

  get(desc: DescMessage): MessageNode {
    let node = this.#nodes.get(desc);
    if (node === undefined) {
      node = new MessageNode(planMessage(desc), this);
      // Known before its fields are compiled, so that a type may contain itself.
      this.#nodes.set(desc, node);
      if (this.#backend === "generated") {
        node.encode = generateEncode(node.plan, this);
        node.decode = generateDecode(node.plan, this);
      } else {
        node.encode = encodeWithClosures(node.plan, this);
      }
    }
    return node;
  }
}
