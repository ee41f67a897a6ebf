import type { HeaderField } from "../exchange.ts";

/**
 * Fields as they go out. What could end a line or a head early (CR, LF, NUL and other controls) is refused here, so that
 * no value from above can split a message (RFC 9110, section 5.5).
 */

/** The fields that HTTP/1.1 itself has to know about when it sends a head. */
export type OutgoingMeaning = "plain" | "content-length" | "connection" | "date" | "refused" | "host" | "expect";

const notValue = /[^\t\x20-\x7e\x80-\xff]/;
const notName = /[^!#$%&'*+\-.^_`|~0-9A-Za-z]/;

/** Lines of constants by their number, checked once; they are process-wide like the constants themselves. */
const constantLines: (string | undefined)[] = [];

/** `name: value CRLF`. @throws TypeError when name or value cannot be sent. */
export function fieldLine(field: HeaderField): string {
  const id = field.constantId;
  if (id === -1) return checkedLine(field);
  let line = constantLines[id];
  if (line === undefined) {
    line = checkedLine(field);
    constantLines[id] = line;
  }
  return line;
}

function checkedLine(field: HeaderField): string {
  if (field.name === "" || notName.test(field.name)) {
    throw new TypeError(`cannot send a field named ${JSON.stringify(field.name)}: not a token`);
  }
  if (notValue.test(field.value)) {
    const shown = field.sensitive ? "(hidden)" : JSON.stringify(field.value.slice(0, 64));
    throw new TypeError(`cannot send field ${field.name} with value ${shown}: control or non-latin1 characters`);
  }
  return `${field.name}: ${field.value}\r\n`;
}

export function meaningOf(name: string): OutgoingMeaning {
  switch (name) {
    case "content-length":
    case "connection":
    case "date":
    case "host":
    case "expect":
      return name;
    case "transfer-encoding":
    case "keep-alive":
    case "proxy-connection":
      return "refused";
    default:
      return "plain";
  }
}

/** @throws TypeError for what is not a plain number of bytes. */
export function outgoingLength(value: string): number {
  const length = Number(value);
  if (!/^[0-9]+$/.test(value) || !Number.isSafeInteger(length)) {
    throw new TypeError(`cannot send content-length ${JSON.stringify(value)}: not a number of bytes`);
  }
  return length;
}

/** @throws TypeError that says who owns the field. */
export function refuseField(name: string): never {
  throw new TypeError(`cannot send field ${name}: the HTTP/1.1 connection decides about it`);
}
