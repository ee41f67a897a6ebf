import type { DescMessage } from "@bufbuild/protobuf";
import { CodecError, type Method } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { ByteWriter, cryptoModule } from "../../platform/index.ts";

/**
 * SHA-256 over the method and the request in protobuf's binary format: equal for equal messages, whatever protocol and codec
 * they came by. The members of maps are put in order, because no protocol keeps it.
 * @throws RpcError `invalid_argument` for a request that lacks a required field of proto2, which decoders let pass
 */
export function fingerprint(method: Method, request: object): Uint8Array {
  const writer = new ByteWriter();
  try {
    method.input.binary.encode(hasMaps(method.desc.input) ? ordered(request) : request, writer);
  } catch (error) {
    if (!(error instanceof CodecError)) throw error;
    throw new RpcError("invalid_argument", `the request is not complete: ${error.message}`, { cause: error });
  }
  return cryptoModule()
    .createHash("sha256")
    .update(`${method.path}\0`)
    .update(writer.bytes.subarray(0, writer.position))
    .digest();
}

const known = new WeakMap<DescMessage, boolean>();

/** Whether messages of a type, or messages in them, have maps; `google.protobuf.Struct` is one. */
function hasMaps(desc: DescMessage): boolean {
  let answer = known.get(desc);
  if (answer === undefined) {
    answer = reachesMap(desc, new Set());
    known.set(desc, answer);
  }
  return answer;
}

function reachesMap(desc: DescMessage, seen: Set<DescMessage>): boolean {
  if (seen.has(desc)) return false;
  seen.add(desc);
  return desc.fields.some(field => {
    if (field.fieldKind === "map") return true;
    const isMessage = field.fieldKind === "message" || (field.fieldKind === "list" && field.listKind === "message");
    return isMessage && reachesMap(field.message, seen);
  });
}

/** The same value with the members of every object in the order of their names. */
function ordered(value: unknown): object {
  return orderedValue(value) as object;
}

function orderedValue(value: unknown): unknown {
  if (typeof value !== "object" || value === null || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map(orderedValue);
  // The prototype of a message holds its defaults. Names are a caller's choice: `__proto__` must be one like others.
  const copy: object = Object.create(Object.getPrototypeOf(value));
  for (const name of Object.keys(value).sort()) {
    const member = orderedValue((value as Record<string, unknown>)[name]);
    Object.defineProperty(copy, name, { value: member, enumerable: true, configurable: true, writable: true });
  }
  return copy;
}
