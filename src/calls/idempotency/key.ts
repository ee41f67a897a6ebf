import { BadRequestSchema } from "../../contract/gen/google/rpc/error_details_pb.ts";
import { RpcError } from "../../errors/index.ts";
import type { Metadata } from "../rpc/index.ts";

/** The header, and the name in the metadata of gRPC and Connect. */
export const keyField = "idempotency-key";

/** The characters of a key as such, and of one that is sent as an RFC 9651 string. */
const bareKey = /^[!-~]{1,255}$/;
const quotedKey = /^"((?:[!#-[\]-~]|\\["\\]){1,255})"$/;

/** What a sent value must match: that of {@link readKey}, for descriptions. */
export const keyPattern = '^(?:[!#-~][!-~]{0,254}|"(?:[!#-\\[\\]-~]|\\\\["\\\\]){1,255}")$';

/**
 * The key of a call, or `undefined` where it has none. The draft of the header makes it a quoted string (RFC 9651, section
 * 3.3.3), most clients send it bare: both are read, and `"k"` is the same key as `k`.
 * @throws RpcError `invalid_argument` for a value that is no key, and for more than one
 */
export function readKey(metadata: Metadata): string | undefined {
  const values = metadata.getAll(keyField);
  const [value] = values;
  if (value === undefined && !metadata.wasRefused(keyField)) return undefined;
  if (values.length > 1) throw invalidKey("must be sent once", "idempotency_key.single");
  if (typeof value === "string") {
    if (value.startsWith('"')) {
      const inner = quotedKey.exec(value)?.[1];
      if (inner !== undefined) return inner.replace(/\\(.)/g, "$1");
    } else if (bareKey.test(value)) {
      return value;
    }
  }
  throw invalidKey("must be 1 to 255 visible ASCII characters, bare or as a quoted string", "idempotency_key.syntax");
}

/** An error that names the header as the field that is wrong. */
export function invalidKey(problem: string, rule: string, httpStatus?: number): RpcError {
  return new RpcError("invalid_argument", `${keyField} ${problem}`, {
    httpStatus,
    details: [[BadRequestSchema, { fieldViolations: [{ field: keyField, description: problem, reason: rule }] }]],
  });
}
