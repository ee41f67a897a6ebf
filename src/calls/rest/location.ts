import { type DescField, ScalarType } from "@bufbuild/protobuf";
import { ContractError, type Method } from "../../contract/index.ts";
import { fieldValue, findField } from "./request-value.ts";

/** The `Location` of what a message describes; `undefined` when a field of the template is empty. */
export type LocationOf = (message: object) => string | undefined;

/**
 * Compiles `rest.location`: text with fields of the answer in braces. `{name}` is one segment, so a slash in it is escaped;
 * `{name=**}`, or any other pattern of several segments, keeps slashes: names of resources are paths.
 * @throws ContractError for a field that the answer does not have, or that is no text, number or enum
 */
export function compileLocation(method: Method): LocationOf | undefined {
  const template = method.rest.location;
  if (template === undefined) return undefined;
  const { output } = method.desc;
  const literals: string[] = [];
  const parts: { readonly fields: readonly DescField[]; readonly keepsSlashes: boolean }[] = [];
  let position = 0;
  for (const match of template.matchAll(/\{([^{}=]*)(?:=([^{}]*))?\}/g)) {
    const [text, path = "", pattern = "*"] = match;
    const fields = findField(output, path);
    const last = fields?.at(-1);
    if (fields === undefined || last === undefined || !isNameable(last)) {
      const where = `${method.service}.${method.name}: rest.location`;
      throw new ContractError(`${where}: "${path}" is no text, number or enum field of ${output.typeName}`);
    }
    literals.push(template.slice(position, match.index));
    parts.push({ fields, keepsSlashes: pattern !== "*" });
    position = match.index + text.length;
  }
  const end = template.slice(position);
  return message => {
    let location = "";
    for (const [index, { fields, keepsSlashes }] of parts.entries()) {
      let value: unknown = message;
      for (const field of fields) value = fieldValue(value, field);
      const text = String(value ?? "");
      if (text === "") return undefined;
      const escaped = encodeURIComponent(text.toWellFormed());
      location += literals[index] + (keepsSlashes ? escaped.replaceAll("%2F", "/") : escaped);
    }
    return location + end;
  };
}

/** Bytes and messages have no spelling of their own in a path. */
function isNameable(field: DescField): boolean {
  if (field.fieldKind === "enum") return true;
  return field.fieldKind === "scalar" && field.scalar !== ScalarType.BYTES;
}
