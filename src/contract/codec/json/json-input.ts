import type { DescMessage } from "@bufbuild/protobuf";
import { CodecError } from "../codec-error.ts";
import { messageDepthMax } from "../limits.ts";
import { isWrapper, type Local } from "../plan.ts";
import { countParsed } from "./duplicate-keys.ts";
import type { JsonState } from "./json-node.ts";

/** Types whose JSON is not that of an ordinary message. */
export function hasOwnJson(desc: DescMessage): boolean {
  switch (desc.typeName) {
    case "google.protobuf.Any":
    case "google.protobuf.Timestamp":
    case "google.protobuf.Duration":
    case "google.protobuf.FieldMask":
    case "google.protobuf.Struct":
    case "google.protobuf.Value":
    case "google.protobuf.ListValue":
      return true;
    default:
      return isWrapper(desc);
  }
}

/** Goes one message deeper. */
export function enter(state: JsonState): void {
  if (++state.depth > messageDepthMax) throw new CodecError("json.depth", "messages are nested deeper than 100");
}

export function isObject(json: unknown): json is Local {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** Counts the members of a part of the input that nobody reads. */
export function ignore(json: unknown, state: JsonState): void {
  state.members += countParsed(json);
}
