import { HeaderField } from "../../exchange.ts";
import { DynamicTable, entryOverheadBytes } from "./dynamic-table.ts";
import { FieldKind, fieldKind } from "./field-kind.ts";
import { huffmanDecode } from "./huffman.ts";
import { staticCount, staticFields } from "./static-table.ts";

/** Takes the fields of a block in their order; `kind` is one of {@link FieldKind}. */
export interface FieldSink {
  field(field: HeaderField, kind: number): void;
}

/** The block cannot be decoded: the connection is lost (RFC 9113, section 4.3). */
export class HpackError extends Error {
  override readonly name = "HpackError";
}

const staticKinds = Uint8Array.from(staticFields, field =>
  field.name === "content-length" ? FieldKind.contentLength : fieldKind(field.name, field.value),
);

/** Strings up to this length go through the scratch buffer of the process; its content never outlives a call. */
let scratch: Buffer = Buffer.allocUnsafeSlow(4096);

/**
 * Decodes header blocks (RFC 7541). The list may be at most `listBytesMax` (name + value + 32 each): fields beyond it
 * are decoded, because the table must stay right, but not handed out.
 */
export class HpackDecoder {
  /** `true` when the last block was larger than the limit. */
  isTooLarge = false;
  /** Size of the last block's list as RFC 9113, section 6.5.2 counts it. */
  listBytes = 0;
  readonly #table: DynamicTable;
  readonly #tableBytesMax: number;
  /** The connection's own objects for `:path: /` and `/index.html`, whose slot belongs to the router. */
  readonly #root = new HeaderField(":path", "/");
  readonly #index = new HeaderField(":path", "/index.html");
  #source: Buffer = scratch;
  #position = 0;
  #end = 0;

  /** @param tableBytesMax the size that our SETTINGS_HEADER_TABLE_SIZE allows */
  constructor(tableBytesMax = 4096) {
    this.#tableBytesMax = tableBytesMax;
    this.#table = new DynamicTable(tableBytesMax);
  }

  get table(): DynamicTable {
    return this.#table;
  }

  /** @throws HpackError */
  decode(source: Buffer, start: number, end: number, sink: FieldSink, listBytesMax: number): void {
    this.#source = source;
    this.#position = start;
    this.#end = end;
    this.isTooLarge = false;
    this.listBytes = 0;
    let mayResize = true;
    while (this.#position < end) {
      const octet = source[this.#position]!;
      if (octet >= 0x80) {
        const index = this.#integer(7);
        if (index <= staticCount) {
          if (index === 0) throw new HpackError("indexed field with index 0");
          const field = index === 4 ? this.#root : index === 5 ? this.#index : staticFields[index]!;
          this.#emit(field, staticKinds[index]!, sink, listBytesMax);
        } else {
          const field = this.#table.field(index - staticCount - 1);
          if (field === undefined) throw new HpackError(`indexed field ${index} is beyond the table`);
          this.#emit(field, this.#table.kind(index - staticCount - 1), sink, listBytesMax);
        }
      } else if (octet >= 0x40) {
        const field = this.#literal(6, false);
        const kind = fieldKind(field.name, field.value);
        this.#table.insert(field, kind);
        this.#emit(field, kind, sink, listBytesMax);
      } else if (octet >= 0x20) {
        const bytes = this.#integer(5);
        if (!mayResize) throw new HpackError("table size update behind a field");
        if (bytes > this.#tableBytesMax) throw new HpackError(`table size update to ${bytes} is above the limit`);
        this.#table.resize(bytes);
        continue;
      } else {
        const field = this.#literal(4, octet >= 0x10);
        this.#emit(field, fieldKind(field.name, field.value), sink, listBytesMax);
      }
      mayResize = false;
    }
    this.#source = scratch;
  }

  #emit(field: HeaderField, kind: number, sink: FieldSink, listBytesMax: number): void {
    this.listBytes += field.name.length + field.value.length + entryOverheadBytes;
    if (this.listBytes > listBytesMax) this.isTooLarge = true;
    else sink.field(field, kind);
  }

  #literal(prefixBits: number, isSensitive: boolean): HeaderField {
    const index = this.#integer(prefixBits);
    let name: string;
    if (index === 0) name = this.#string();
    else if (index <= staticCount) name = staticFields[index]!.name;
    else {
      const field = this.#table.field(index - staticCount - 1);
      if (field === undefined) throw new HpackError(`name index ${index} is beyond the table`);
      name = field.name;
    }
    return new HeaderField(name, this.#string(), isSensitive);
  }

  /** RFC 7541, section 5.1; at most 28 bits, more than any size or index here may have. */
  #integer(prefixBits: number): number {
    const source = this.#source;
    const prefix = (1 << prefixBits) - 1;
    let value = source[this.#position++]! & prefix;
    if (value < prefix) return value;
    for (let shift = 0; ; shift += 7) {
      if (this.#position >= this.#end) throw new HpackError("integer is cut off");
      if (shift > 21) throw new HpackError("integer is too large");
      const octet = source[this.#position++]!;
      value += (octet & 0x7f) << shift;
      if (octet < 0x80) return value;
    }
  }

  #string(): string {
    if (this.#position >= this.#end) throw new HpackError("string is cut off");
    const isHuffman = this.#source[this.#position]! >= 0x80;
    const length = this.#integer(7);
    const start = this.#position;
    const end = start + length;
    if (end > this.#end) throw new HpackError("string is cut off");
    this.#position = end;
    if (!isHuffman) return this.#source.toString("latin1", start, end);
    const bytesMax = Math.ceil((length * 8) / 5);
    if (bytesMax > scratch.length) scratch = Buffer.allocUnsafeSlow(bytesMax * 2);
    const decoded = huffmanDecode(this.#source, start, end, scratch);
    if (decoded < 0) throw new HpackError("Huffman code is broken");
    return scratch.toString("latin1", 0, decoded);
  }
}
