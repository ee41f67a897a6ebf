import { create, type DescMessage, type MessageInitShape, type MessageShape } from "@bufbuild/protobuf";
import { binaryCodec } from "../../contract/index.ts";
import type { RpcError } from "../../errors/index.ts";

/**
 * The details of an error that are messages of one type, in their order; those that do not decode are left out. On a client
 * they are what the server sent, on a server what the handler gave.
 *
 * ```ts
 * for (const { fieldViolations } of findDetails(error, BadRequestSchema)) show(fieldViolations);
 * ```
 */
export function findDetails<D extends DescMessage>(error: RpcError, schema: D): MessageShape<D>[] {
  const found: MessageShape<D>[] = [];
  for (const detail of error.details) {
    if ("type" in detail) {
      if (detail.type !== schema.typeName) continue;
      try {
        found.push(binaryCodec(schema).decode(detail.value, 0, detail.value.length) as MessageShape<D>);
      } catch {
        // Of another version of the type, or made by nobody who knows it: the error itself matters more.
      }
    } else if ((detail[0] as DescMessage).typeName === schema.typeName) {
      found.push(create(schema, detail[1] as MessageInitShape<D>));
    }
  }
  return found;
}
