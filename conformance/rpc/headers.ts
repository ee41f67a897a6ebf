import { type ErrorMetadata, Metadata } from "../../src/exports/index.ts";
import type { Header } from "./gen/connectrpc/conformance/v1/service_pb.ts";

/** Metadata as the referee wants to see it: bytes in base64. */
export function valuesOf(source: Metadata | ErrorMetadata): Header[] {
  const byName = new Map<string, string[]>();
  for (const [name, value] of source instanceof Metadata ? source : new Metadata(source)) {
    const list = byName.get(name) ?? [];
    list.push(typeof value === "string" ? value : Buffer.from(value).toString("base64").replace(/=+$/, ""));
    byName.set(name, list);
  }
  return [...byName].map(([name, value]) => ({ name, value }) as Header);
}

/** Adds what a case asks for. */
export function setMetadata(metadata: Metadata, headers: readonly Header[]): Metadata {
  for (const { name, value } of headers) {
    for (const one of value) {
      metadata.append(name, name.toLowerCase().endsWith("-bin") ? Buffer.from(one, "base64") : one);
    }
  }
  return metadata;
}

export function metadataOf(headers: readonly Header[]): Metadata {
  return setMetadata(new Metadata(), headers);
}
