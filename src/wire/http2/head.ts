import type { HeaderField } from "../exchange.ts";
import { Http2FieldList } from "./field-list.ts";
import { FieldKind, type FieldSink } from "./hpack/index.ts";

/** What a block may be: pseudo-fields differ (RFC 9113, sections 8.1 and 8.3). */
export const BlockKind = { request: 0, response: 1, trailers: 2 } as const;

/**
 * Collects one header block and judges it. One per connection, reset for each block; only the field list is new, because
 * the exchange keeps it.
 */
export class HeadCollector implements FieldSink {
  fields = new Http2FieldList();
  method: HeaderField | undefined;
  scheme: HeaderField | undefined;
  authority: HeaderField | undefined;
  path: HeaderField | undefined;
  status: HeaderField | undefined;
  host: HeaderField | undefined;
  /** −1: none. */
  contentLength = -1;
  /** Why the message is malformed, `undefined` when it is not. */
  defect: string | undefined;
  #sawRegular = false;

  begin(): void {
    this.fields = new Http2FieldList();
    this.method = undefined;
    this.scheme = undefined;
    this.authority = undefined;
    this.path = undefined;
    this.status = undefined;
    this.host = undefined;
    this.contentLength = -1;
    this.defect = undefined;
    this.#sawRegular = false;
  }

  field(field: HeaderField, kind: number): void {
    if (kind === FieldKind.regular) {
      this.#sawRegular = true;
      this.fields.items.push(field);
      return;
    }
    switch (kind) {
      case FieldKind.method:
        if (this.method !== undefined || this.#sawRegular) this.defect ??= ":method is repeated or misplaced";
        this.method = field;
        return;
      case FieldKind.scheme:
        if (this.scheme !== undefined || this.#sawRegular) this.defect ??= ":scheme is repeated or misplaced";
        this.scheme = field;
        return;
      case FieldKind.authority:
        if (this.authority !== undefined || this.#sawRegular) this.defect ??= ":authority is repeated or misplaced";
        this.authority = field;
        return;
      case FieldKind.path:
        if (this.path !== undefined || this.#sawRegular) this.defect ??= ":path is repeated or misplaced";
        this.path = field;
        return;
      case FieldKind.status:
        if (this.status !== undefined || this.#sawRegular) this.defect ??= ":status is repeated or misplaced";
        this.status = field;
        return;
      case FieldKind.contentLength: {
        const length = field.value === "" ? -2 : Number(field.value);
        if (length < 0 || (this.contentLength >= 0 && this.contentLength !== length))
          this.defect ??= "content-length is empty or contradicts itself";
        this.contentLength = length;
        break;
      }
      case FieldKind.host:
        if (this.host !== undefined && this.host.value !== field.value) this.defect ??= "host contradicts itself";
        this.host = field;
        break;
      default:
        this.defect ??= `field ${JSON.stringify(field.name)} is not allowed`;
        return;
    }
    this.#sawRegular = true;
    this.fields.items.push(field);
  }

  /** To be called behind the last field. Answers why the block is malformed, or `undefined`. */
  judge(kind: number): string | undefined {
    if (this.defect !== undefined) return this.defect;
    const hasRequestPart =
      this.method !== undefined || this.scheme !== undefined || this.path !== undefined || this.authority !== undefined;
    if (kind === BlockKind.response) {
      if (hasRequestPart) return "a response has pseudo-fields of a request";
      return this.status !== undefined && /^[1-9][0-9][0-9]$/.test(this.status.value)
        ? undefined
        : ":status is missing or not a status";
    }
    if (this.status !== undefined) return ":status outside of a response";
    if (kind === BlockKind.trailers) return hasRequestPart ? "trailers have pseudo-fields" : undefined;
    return this.#judgeRequest();
  }

  #judgeRequest(): string | undefined {
    const { method, scheme, path, authority, host } = this;
    if (method === undefined || method.value === "") return ":method is missing";
    if (host !== undefined && authority !== undefined && host.value !== authority.value)
      return ":authority and host differ";
    if (method.value === "CONNECT") {
      return scheme !== undefined || path !== undefined || authority === undefined
        ? "CONNECT takes :authority only"
        : undefined;
    }
    if (scheme === undefined || scheme.value === "") return ":scheme is missing";
    if (path === undefined) return ":path is missing";
    const first = path.value.charCodeAt(0);
    if (first === 0x2f) return undefined;
    return path.value === "*" && method.value === "OPTIONS" ? undefined : `:path must begin with "/"`;
  }
}
