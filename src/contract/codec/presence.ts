import { ScalarType } from "@bufbuild/protobuf";
import { CodecError } from "./codec-error.ts";
import type { FieldPlan, Local, MessagePlan } from "./plan.ts";

/** Refuses a message of another type; an initialiser has no type. */
export function checkType(plan: MessagePlan, message: Local): void {
  const name = message["$typeName"];
  if (name !== plan.typeName && name !== undefined && plan.fields.length > 0) {
    throw new CodecError("message.type", `expected a ${plan.typeName}, got a ${String(name)}`);
  }
}

/** Whether the value of an implicit field counts as not set. −0 is set. */
export function isZero(field: FieldPlan, value: unknown): boolean {
  if (field.kind === "enum") return value === field.zero;
  switch (field.scalar) {
    case ScalarType.STRING:
      return value === "";
    case ScalarType.BOOL:
      return value === false;
    case ScalarType.BYTES:
      return (value instanceof Uint8Array || Array.isArray(value)) && value.length === 0;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return Object.is(value, 0);
    default:
      // Integers may come as numbers, bigints or text: 0, 0n, "0".
      return typeof value === "bigint" ? value === 0n : Number(value) === 0;
  }
}
