import type { ErrorMetadata } from "../../errors/index.ts";
import type { FieldList } from "../../wire/index.ts";
import { Metadata, type MetadataValue } from "../rpc/index.ts";

/** What `new Headers()` takes. */
export type HeadersSource = ConstructorParameters<typeof Headers>[0];

/** Fields that belong to HTTP or to a protocol, which writes them itself: a caller's own are not sent beside them. */
const protocolFields = new Set([
  "accept-encoding",
  "connection",
  "content-encoding",
  "content-length",
  "content-type",
  "date",
  "host",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

function isProtocolField(name: string): boolean {
  return protocolFields.has(name) || name.startsWith("grpc-") || name.startsWith("connect-");
}

/**
 * Headers as metadata: `-bin` values, which Headers hold in base64, become bytes.
 * @throws TypeError for a value that no protocol can carry (other than printable ASCII)
 */
export function metadataOfHeaders(headers: Headers): Metadata {
  const metadata = new Metadata();
  appendHeaders(metadata, headers);
  return metadata;
}

/** Appends {@link metadataOfHeaders} to metadata. @throws TypeError as it does */
export function appendHeaders(metadata: Metadata, headers: Headers): void {
  for (const [name, value] of headers) {
    if (isProtocolField(name)) continue;
    if (name.endsWith("-bin")) metadata.appendReceived(name, value);
    else metadata.append(name, value);
  }
}

/** The metadata of an error. What no protocol can carry is left out: the error itself counts more. */
export function errorMetadataOfHeaders(headers: Headers): ErrorMetadata {
  const metadata = new Metadata();
  for (const [name, value] of headers) if (!isProtocolField(name)) metadata.appendReceived(name, value);
  return metadata.toRecord();
}

/** Metadata as Headers: bytes in base64 without padding, as connect-es's `decodeBinaryHeader` reads it. */
export function headersOfMetadata(metadata: Iterable<readonly [name: string, value: MetadataValue]>): Headers {
  const headers = new Headers();
  appendMetadata(headers, metadata);
  return headers;
}

export function appendMetadata(
  headers: Headers,
  metadata: Iterable<readonly [name: string, value: MetadataValue]>,
): void {
  for (const [name, value] of metadata) headers.append(name, textOf(value));
}

function textOf(value: MetadataValue): string {
  return typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, "");
}

/** The fields of a request as they came, those of HTTP and the protocol among them. */
export function headersOfFields(fields: FieldList): Headers {
  const headers = new Headers();
  for (const { name, value } of fields) {
    // HTTP/2 clients send cookies one by one; joined by commas, as other fields are, they would be one (RFC 9113, 8.2.3).
    if (name !== "cookie") headers.append(name, value);
    else if (!headers.has(name)) headers.append(name, fields.get(name) as string);
  }
  return headers;
}
