import { create, type DescMessage, toBinary } from "@bufbuild/protobuf";
import type { RpcError } from "../../../errors/index.ts";

/** A detail as it travels: type name and encoded message. */
export interface EncodedDetail {
  readonly type: string;
  readonly value: Uint8Array;
}

/** The details of an error, those given as `[schema, init]` encoded. */
export function encodeDetails(error: RpcError): readonly EncodedDetail[] {
  return error.details.map(detail => {
    if ("type" in detail) return detail;
    const schema = detail[0] as DescMessage;
    return { type: schema.typeName, value: toBinary(schema, create(schema, detail[1] as never)) };
  });
}
