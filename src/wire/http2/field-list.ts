import type { FieldList, HeaderField } from "../exchange.ts";

/** The fields of one block. Few enough that a search beats an index. */
export class Http2FieldList implements FieldList {
  readonly items: HeaderField[] = [];

  [Symbol.iterator](): Iterator<HeaderField> {
    return this.items[Symbol.iterator]();
  }

  find(name: string): HeaderField | undefined {
    const { items } = this;
    for (let i = 0; i < items.length; i++) {
      const field = items[i]!;
      if (field.name === name) return field;
    }
    return undefined;
  }

  get(name: string): string | undefined {
    const { items } = this;
    let value: string | undefined;
    for (let i = 0; i < items.length; i++) {
      const field = items[i]!;
      if (field.name !== name) continue;
      // Cookie crumbs are joined as RFC 9113, section 8.2.3 says.
      value = value === undefined ? field.value : `${value}${name === "cookie" ? "; " : ", "}${field.value}`;
    }
    return value;
  }

  getAll(name: string): readonly string[] {
    return this.items.filter(field => field.name === name).map(field => field.value);
  }
}
