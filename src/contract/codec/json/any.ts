import { ByteWriter } from "../../../platform/index.ts";
import { CodecError, describe } from "../codec-error.ts";
import { type Local, ownValue, setOwn } from "../plan.ts";
import { hasOwnJson, ignore, isObject } from "./json-input.ts";
import type { JsonNodes, JsonState } from "./json-node.ts";
import { quote } from "./scalar-text.ts";

/** google.protobuf.Any in JSON: the packed message's own members and `@type`; its type must be in the registry. */

function typeNameOf(url: string): string {
  const name = url.slice(url.lastIndexOf("/") + 1);
  if (name === "") throw new CodecError("any.type", `the type URL ${describe(url)} has no name`);
  return name;
}

export function anyText(message: Local, nodes: JsonNodes): string {
  const url = (message["typeUrl"] ?? "") as string;
  if (url === "") return "{}";
  const desc = nodes.options.registry?.getMessage(typeNameOf(url));
  if (desc === undefined) throw new CodecError("any.type", `${describe(url)} is not in the type registry`);
  const bytes = (message["value"] ?? new Uint8Array(0)) as Uint8Array;
  const body = nodes
    .get(desc)
    .encode(nodes.options.binary.get(desc).decode(bytes, 0, bytes.length) as unknown as Local);
  if (hasOwnJson(desc)) return `{"@type":${quote(url)},"value":${body}}`;
  return body === "{}" ? `{"@type":${quote(url)}}` : `{"@type":${quote(url)},${body.slice(1)}`;
}

export function readAny(json: unknown, state: JsonState, nodes: JsonNodes): Local {
  if (!isObject(json)) throw new CodecError("any.type", `expected an object, got ${describe(json)}`);
  const keys = Object.keys(json);
  if (keys.length === 0) return {};
  const url = ownValue(json, "@type");
  if (typeof url !== "string" || url === "") throw new CodecError("any.type", "@type is missing or empty", "@type");
  const typeName = typeNameOf(url);
  const desc = nodes.options.registry?.getMessage(typeName);
  if (desc === undefined) throw new CodecError("any.type", `${describe(url)} is not in the type registry`, "@type");
  let body: unknown;
  if (hasOwnJson(desc) && Object.hasOwn(json, "value")) {
    state.members += keys.length;
    for (const key of keys) if (key !== "value") ignore(json[key], state);
    body = json["value"];
  } else {
    const rest: Local = {};
    for (const key of keys) if (key !== "@type") setOwn(rest, key, json[key]);
    state.members++;
    body = rest;
  }
  const writer = new ByteWriter(256);
  nodes.options.binary.get(desc).encode(nodes.get(desc).decode(body, state), writer);
  return { typeUrl: `type.googleapis.com/${typeName}`, value: new Uint8Array(writer.copyFrom(0)) };
}
