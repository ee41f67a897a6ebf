import type { HeaderField } from "../../exchange.ts";

/** RFC 7541, section 4.1. */
export const entryOverheadBytes = 32;

export function entryBytes(field: HeaderField): number {
  return field.name.length + field.value.length + entryOverheadBytes;
}

/**
 * The decoder's dynamic table as a ring. An entry is the field object itself, handed out for every reference, so that
 * what the layers above derived from it is derived once per entry.
 */
export class DynamicTable {
  #fields: (HeaderField | undefined)[] = new Array(16).fill(undefined);
  #kinds = new Uint8Array(16);
  #mask = 15;
  #newest = 0;
  #count = 0;
  #bytes = 0;
  #bytesMax: number;

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax;
  }

  get count(): number {
    return this.#count;
  }
  get bytes(): number {
    return this.#bytes;
  }
  get bytesMax(): number {
    return this.#bytesMax;
  }

  /** The entry, 0 being the newest; `undefined` beyond the oldest. */
  field(index: number): HeaderField | undefined {
    return index < this.#count ? this.#fields[(this.#newest - index) & this.#mask] : undefined;
  }

  kind(index: number): number {
    return this.#kinds[(this.#newest - index) & this.#mask]!;
  }

  /** Adds an entry, evicting old ones; one larger than the table empties it (RFC 7541, section 4.4). */
  insert(field: HeaderField, kind: number): void {
    const bytes = entryBytes(field);
    this.#evictTo(this.#bytesMax - bytes);
    if (bytes > this.#bytesMax) return;
    if (this.#count > this.#mask) this.#grow();
    this.#newest = (this.#newest + 1) & this.#mask;
    this.#fields[this.#newest] = field;
    this.#kinds[this.#newest] = kind;
    this.#count++;
    this.#bytes += bytes;
  }

  resize(bytesMax: number): void {
    this.#bytesMax = bytesMax;
    this.#evictTo(bytesMax);
  }

  #evictTo(bytes: number): void {
    while (this.#count > 0 && this.#bytes > bytes) {
      const oldest = (this.#newest - this.#count + 1) & this.#mask;
      this.#bytes -= entryBytes(this.#fields[oldest]!);
      this.#fields[oldest] = undefined;
      this.#count--;
    }
  }

  #grow(): void {
    const size = (this.#mask + 1) * 2;
    const fields: (HeaderField | undefined)[] = new Array(size).fill(undefined);
    const kinds = new Uint8Array(size);
    for (let i = 0; i < this.#count; i++) {
      const from = (this.#newest - i) & this.#mask;
      fields[this.#count - 1 - i] = this.#fields[from];
      kinds[this.#count - 1 - i] = this.#kinds[from]!;
    }
    this.#fields = fields;
    this.#kinds = kinds;
    this.#mask = size - 1;
    this.#newest = this.#count - 1;
  }
}
