import type { ByteWriter } from "../../../platform/index.ts";
import type { HeaderField } from "../../exchange.ts";
import { entryBytes } from "./dynamic-table.ts";
import { huffmanEncode, huffmanLength } from "./huffman.ts";
import { staticCount, staticIndexOfConstant, staticIndexOfName } from "./static-table.ts";

/** An entry may take this part of the table at most, so that one long value does not displace all others. */
const entryShareMax = 4;

/**
 * Encodes fields (RFC 7541). Constants are put into the dynamic table once and found again by their number; so is
 * `:authority`, which a client repeats. Everything else goes out as a literal, sensitive fields as never indexed.
 *
 * An inserted entry is known by its sequence number: it is in the table while that is above the number of evicted ones,
 * so eviction need not tell the look-up.
 */
export class HpackEncoder {
  /** By constant id: 0 not seen, 1…61 static index, above that sequence number + 61. */
  readonly #places: number[] = [];
  readonly #authorities = new Map<string, number>();
  /** Sizes of the entries in the table, oldest at `#inserted - #evicted` places from the end. */
  readonly #sizes = new Int32Array(128);
  readonly #tableBytesCap: number;
  #inserted = 0;
  #evicted = 0;
  #bytes = 0;
  #bytesMax: number;
  #smallestPending = -1;

  /** @param tableBytesCap memory that we spend at most, whatever the peer allows; up to 4,096 (RFC default). */
  constructor(tableBytesCap = 4096) {
    this.#tableBytesCap = Math.min(tableBytesCap, 4096);
    this.#bytesMax = 4096;
    if (this.#tableBytesCap < 4096) this.allowTableBytes(this.#tableBytesCap);
  }

  /** The peer's SETTINGS_HEADER_TABLE_SIZE. The change is announced in the next block (RFC 7541, section 4.2). */
  allowTableBytes(bytes: number): void {
    const allowed = Math.min(bytes, this.#tableBytesCap);
    if (allowed === this.#bytesMax && this.#smallestPending < 0) return;
    this.#bytesMax = allowed;
    this.#smallestPending = this.#smallestPending < 0 ? allowed : Math.min(this.#smallestPending, allowed);
    this.#evictTo(allowed);
  }

  /** To be called before the first field of a block. */
  beginBlock(writer: ByteWriter): void {
    if (this.#smallestPending < 0) return;
    writer.ensure(12);
    if (this.#smallestPending < this.#bytesMax) this.#integer(writer, 0x20, 5, this.#smallestPending);
    this.#integer(writer, 0x20, 5, this.#bytesMax);
    this.#smallestPending = -1;
  }

  encode(writer: ByteWriter, field: HeaderField): void {
    const id = field.constantId;
    if (id >= 0) {
      const place = id < this.#places.length ? this.#places[id]! : 0;
      if (place > 0) {
        if (place <= staticCount) {
          writer.ensure(1);
          writer.bytes[writer.position++] = 0x80 | place;
          return;
        }
        if (place - staticCount > this.#evicted) {
          this.#indexed(writer, place - staticCount);
          return;
        }
      }
      this.#firstOfConstant(writer, field, id);
      return;
    }
    if (field.name === ":authority") {
      const sequence = this.#authorities.get(field.value);
      if (sequence !== undefined && sequence > this.#evicted) {
        this.#indexed(writer, sequence);
        return;
      }
      if (this.#authorities.size >= 64) this.#authorities.clear();
      if (this.#literal(writer, field, true)) this.#authorities.set(field.value, this.#inserted);
      return;
    }
    this.#literal(writer, field, false);
  }

  #firstOfConstant(writer: ByteWriter, field: HeaderField, id: number): void {
    while (this.#places.length <= id) this.#places.push(0);
    const fixed = staticIndexOfConstant.get(id);
    if (fixed !== undefined) {
      this.#places[id] = fixed;
      writer.ensure(1);
      writer.bytes[writer.position++] = 0x80 | fixed;
    } else if (this.#literal(writer, field, true)) {
      this.#places[id] = this.#inserted + staticCount;
    }
  }

  #indexed(writer: ByteWriter, sequence: number): void {
    writer.ensure(6);
    const index = staticCount + 1 + this.#inserted - sequence;
    if (index < 0x7f) writer.bytes[writer.position++] = 0x80 | index;
    else this.#integer(writer, 0x80, 7, index);
  }

  /** Answers whether the field was put into the table. */
  #literal(writer: ByteWriter, field: HeaderField, wantsIndex: boolean): boolean {
    const bytes = entryBytes(field);
    const inserts = wantsIndex && !field.sensitive && bytes * entryShareMax <= this.#bytesMax;
    const name = staticIndexOfName.get(field.name) ?? 0;
    writer.ensure(24 + field.name.length + field.value.length);
    if (inserts) this.#integer(writer, 0x40, 6, name);
    else this.#integer(writer, field.sensitive ? 0x10 : 0x00, 4, name);
    // What enters the table goes out once, so Huffman costs nothing there. Literals of every call stay plain.
    if (name === 0) this.#string(writer, field.name, inserts);
    this.#string(writer, field.value, inserts);
    if (!inserts) return false;
    this.#evictTo(this.#bytesMax - bytes);
    this.#sizes[this.#inserted & 127] = bytes;
    this.#inserted++;
    this.#bytes += bytes;
    return true;
  }

  #evictTo(bytes: number): void {
    while (this.#bytes > bytes) this.#bytes -= this.#sizes[this.#evicted++ & 127]!;
  }

  #string(writer: ByteWriter, text: string, shorten: boolean): void {
    const length = text.length;
    if (shorten) {
      const encoded = huffmanLength(text);
      if (encoded < length) {
        this.#integer(writer, 0x80, 7, encoded);
        writer.position = huffmanEncode(text, writer.bytes, writer.position);
        return;
      }
    }
    this.#integer(writer, 0, 7, length);
    const bytes = writer.bytes;
    let position = writer.position;
    if (length > 24) {
      position += bytes.write(text, position, "latin1");
    } else {
      for (let i = 0; i < length; i++) bytes[position++] = text.charCodeAt(i);
    }
    writer.position = position;
  }

  #integer(writer: ByteWriter, pattern: number, prefixBits: number, value: number): void {
    const bytes = writer.bytes;
    const prefix = (1 << prefixBits) - 1;
    if (value < prefix) {
      bytes[writer.position++] = pattern | value;
      return;
    }
    bytes[writer.position++] = pattern | prefix;
    let rest = value - prefix;
    while (rest >= 0x80) {
      bytes[writer.position++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    bytes[writer.position++] = rest;
  }
}
