/**
 * A message that cannot be encoded or decoded.
 *
 * `path` names the field from the outside in, for example `items[0].quantity`, spelled as the dialect spells fields
 * (binary: as in the `.proto`); it is empty when the message as a whole is at fault. `rule` is a stable token such as
 * `json.syntax`, `json.unknown_field`, `int32.range`, `double.finite`, `binary.truncated`.
 */
export class CodecError extends Error {
  override readonly name: string = "CodecError";
  readonly path: string;
  readonly rule: string;

  constructor(rule: string, message: string, path = "", options: { cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.rule = rule;
    this.path = path;
  }
}

/**
 * Puts one more segment in front of the path of a failure on its way out. Errors of other kinds (a `RangeError` of an
 * exhausted stack, a `TypeError` of a value that cannot be coerced) become codec errors here.
 */
export function within(segment: string, failure: unknown): CodecError {
  if (failure instanceof CodecError) {
    if (segment === "") return failure;
    const joint = failure.path === "" || failure.path.startsWith("[") ? "" : ".";
    return new CodecError(failure.rule, failure.message, segment + joint + failure.path, { cause: failure.cause });
  }
  const reason = failure instanceof Error ? failure.message : String(failure);
  return new CodecError("value.type", reason, segment, { cause: failure });
}

/** The segment of a list item or map entry: `[3]`, `["key"]`. */
export function subscript(key: number | string): string {
  return typeof key === "number" ? `[${key}]` : `[${JSON.stringify(key)}]`;
}

/** A short description of a value for a message, never its whole text. */
export function describe(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return `a list of ${value.length}`;
  if (value instanceof Uint8Array) return `${value.length} bytes`;
  if (typeof value === "string") return value.length > 40 ? `a string of ${value.length}` : JSON.stringify(value);
  if (typeof value === "number" || typeof value === "bigint" || typeof value === "boolean") return String(value);
  return typeof value === "object" ? "an object" : typeof value;
}
