import type { DescMessage, Message, MessageShape } from "@bufbuild/protobuf";
import type { ByteWriter } from "../../../platform/index.ts";
import { type Backend, defaultBackend } from "../code-generation.ts";
import { within } from "../codec-error.ts";
import type { Local } from "../plan.ts";
import { type MessageNode, MessageNodes } from "./message-node.ts";
import { Cursor } from "./read-scalar.ts";

/** Turns messages of one type into protobuf's binary format and back. */
export interface BinaryCodec<T = Message> {
  /**
   * Appends the encoding of a message, or of an initialiser (plain, partial, nested), where what is absent has its
   * default. When it throws, the writer's position is where it was.
   * @throws CodecError for a value that its field cannot hold, and for a required field that is not set
   */
  encode(message: object, writer: ByteWriter): void;
  /**
   * Decodes `bytes[start, end)` to a genuine protobuf-es message that holds no reference to `bytes`, unless `isShared`
   * says that nobody writes to them again: then large fields of type `bytes` are views.
   * @throws CodecError for malformed input
   */
  decode(bytes: Uint8Array, start: number, end: number, isShared?: boolean): T;
}

class CompiledBinaryCodec implements BinaryCodec<unknown> {
  readonly #node: MessageNode;
  readonly #cursor = new Cursor();

  constructor(node: MessageNode) {
    this.#node = node;
  }

  encode(message: object, writer: ByteWriter): void {
    const start = writer.position;
    try {
      writer.position = this.#node.encode(message as Local, writer, start);
    } catch (failure) {
      // Growing moves the position; nothing of the failed message may stay.
      writer.position = start;
      throw within("", failure);
    }
  }

  decode(bytes: Uint8Array, start: number, end: number, isShared = false): unknown {
    if (!(start >= 0 && start <= end && end <= bytes.length)) {
      throw new RangeError(`cannot decode bytes ${start}–${end} of ${bytes.length}`);
    }
    const cursor = this.#cursor;
    cursor.limit = end;
    cursor.depth = 0;
    cursor.isShared = isShared;
    try {
      return this.#node.decode(bytes, start, end, cursor);
    } catch (failure) {
      throw within("", failure);
    }
  }
}

/** The codecs of one backend; the package uses one instance, tests one for each. */
export class BinaryCodecs {
  readonly #nodes: MessageNodes;
  readonly #codecs = new WeakMap<DescMessage, BinaryCodec<unknown>>();

  constructor(backend: Backend) {
    this.#nodes = new MessageNodes(backend);
  }

  get<D extends DescMessage>(schema: D): BinaryCodec<MessageShape<D>> {
    let codec = this.#codecs.get(schema);
    if (codec === undefined) {
      codec = new CompiledBinaryCodec(this.#nodes.get(schema));
      this.#codecs.set(schema, codec);
    }
    return codec as BinaryCodec<MessageShape<D>>;
  }
}

let codecs: BinaryCodecs | undefined;

/** The binary codec of a message type; compiled at the first call, the same object ever after. */
export function binaryCodec<D extends DescMessage>(schema: D): BinaryCodec<MessageShape<D>> {
  codecs ??= new BinaryCodecs(defaultBackend());
  return codecs.get(schema);
}
