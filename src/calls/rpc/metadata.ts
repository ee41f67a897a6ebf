import type { TraceContext } from "../../platform/index.ts";
import { HeaderField } from "../../wire/index.ts";

/** A metadata value: text for ordinary names, bytes for names that end in `-bin`. */
export type MetadataValue = string | Uint8Array;

export type MetadataInit = Metadata | Readonly<Record<string, MetadataValue | readonly MetadataValue[]>>;

/** Names as RFC 9110 allows them, in lower case; values as gRPC allows them: printable ASCII. */
const validName = /^[0-9a-z_.-]+$/;
const validValue = /^[\x20-\x7e]*$/;

/**
 * Key-value pairs that travel with a call beside its messages: request headers, response headers, trailers. Names are
 * case-insensitive; a name may have several values.
 */
export class Metadata implements Iterable<readonly [name: string, value: MetadataValue]> {
  readonly #values = new Map<string, MetadataValue[]>();
  #refused: Set<string> | undefined;

  constructor(init?: MetadataInit) {
    if (init === undefined) return;
    const entries = init instanceof Metadata ? init : Object.entries(init);
    for (const [name, value] of entries) {
      if (typeof value === "string" || value instanceof Uint8Array) this.append(name, value);
      else for (const one of value) this.append(name, one);
    }
  }

  get size(): number {
    return this.#values.size;
  }

  /** The first value of a name. */
  get(name: string): MetadataValue | undefined {
    return this.#values.get(name.toLowerCase())?.[0];
  }

  getAll(name: string): readonly MetadataValue[] {
    return this.#values.get(name.toLowerCase()) ?? [];
  }

  has(name: string): boolean {
    return this.#values.has(name.toLowerCase());
  }

  /** @throws TypeError for a name or value that cannot be a header field. */
  set(name: string, value: MetadataValue): void {
    this.#values.set(checkedName(name, value), [value]);
  }

  /** @throws TypeError for a name or value that cannot be a header field. */
  append(name: string, value: MetadataValue): void {
    const key = checkedName(name, value);
    const values = this.#values.get(key);
    if (values === undefined) this.#values.set(key, [value]);
    else values.push(value);
  }

  /** Takes a field as it came, `-bin` values in base64; what cannot be metadata is dropped. */
  appendReceived(name: string, value: string): void {
    if (!validName.test(name)) return;
    if (name.endsWith("-bin")) {
      for (const part of value.split(",")) this.append(name, Buffer.from(part.trim(), "base64"));
    } else if (validValue.test(value)) {
      this.append(name, value);
    } else {
      this.#refused ??= new Set();
      this.#refused.add(name);
    }
  }

  /** Whether a value of this name came that cannot be metadata and was dropped: it is not the same as none. */
  wasRefused(name: string): boolean {
    return this.#refused?.has(name.toLowerCase()) === true;
  }

  /** All values by name, a single one by itself. */
  toRecord(): Readonly<Record<string, MetadataValue | readonly MetadataValue[]>> {
    return Object.fromEntries(
      [...this.#values].map(([name, values]) => [
        name,
        values.length === 1 ? (values[0] as MetadataValue) : [...values],
      ]),
    );
  }

  delete(name: string): boolean {
    return this.#values.delete(name.toLowerCase());
  }

  *[Symbol.iterator](): Iterator<readonly [string, MetadataValue]> {
    for (const [name, values] of this.#values) for (const value of values) yield [name, value];
  }
}

function checkedName(name: string, value: MetadataValue): string {
  const key = name.toLowerCase();
  if (!validName.test(key)) throw new TypeError(`metadata name ${JSON.stringify(name)} is not a header name`);
  if (key.endsWith("-bin")) {
    if (typeof value === "string") throw new TypeError(`metadata "${key}" ends in -bin: its value must be bytes`);
  } else if (typeof value !== "string" || !validValue.test(value)) {
    throw new TypeError(`metadata "${key}" must have a value of printable ASCII text`);
  }
  return key;
}

/** Names that belong to HTTP or a protocol and are not shown as metadata. */
const reserved = new Set([
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "date",
  "host",
  "te",
  "trailer",
  "transfer-encoding",
  "connect-accept-encoding",
  "connect-content-encoding",
  "connect-protocol-version",
  "connect-timeout-ms",
]);

/** The metadata in header or trailer fields. Undecodable values and protocol fields are left out. */
export function metadataFromFields(fields: Iterable<HeaderField>): Metadata {
  const metadata = new Metadata();
  for (const { name, value } of fields) {
    if (reserved.has(name) || (name.startsWith("grpc-") && name !== "grpc-previous-rpc-attempts")) continue;
    metadata.appendReceived(name, value);
  }
  return metadata;
}

/** Appends metadata as header fields, each name behind `prefix`; credentials are kept out of compression tables. */
export function appendFields(target: HeaderField[], metadata: Metadata, prefix = ""): void {
  for (const [name, value] of metadata) {
    const text = typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
    target.push(new HeaderField(prefix + name, text, name === "authorization" || name === "cookie"));
  }
}

/** Appends the trace that a call belongs to, except for what the caller says of it in `metadata`. */
export function appendTrace(target: HeaderField[], trace: TraceContext, metadata: Metadata | undefined): void {
  if (metadata?.has("traceparent")) return;
  for (const name of ["traceparent", "tracestate", "baggage"] as const) {
    const value = trace[name];
    if (value !== undefined && !metadata?.has(name)) target.push(new HeaderField(name, value));
  }
}
