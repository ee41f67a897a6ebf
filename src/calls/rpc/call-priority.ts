import type { Priority } from "../../contract/index.ts";
import { constantField, type FieldList, type HeaderField } from "../../wire/index.ts";

/**
 * The field in which the priority of a call travels: `critical`, `default` or `sheddable`. There is no standard one: RFC
 * 9218's `priority` orders the answers of one connection, and the "criticality" of the SRE book has no name on the wire.
 */
export const priorityName = "x-trunkline-priority";

const fields: Readonly<Record<Priority, HeaderField>> = {
  critical: constantField(priorityName, "critical"),
  default: constantField(priorityName, "default"),
  sheddable: constantField(priorityName, "sheddable"),
};

/** How priorities compare: what is higher is served first. */
export const priorityRank: Readonly<Record<Priority, number>> = { sheddable: 0, default: 1, critical: 2 };

/** The field that tells a server how much a call matters. */
export function priorityField(priority: Priority): HeaderField {
  return fields[priority];
}

/** What the caller says about its call; `undefined` when it says nothing, or something that is no priority. */
export function readPriority(received: FieldList): Priority | undefined {
  switch (received.get(priorityName)) {
    case "critical":
      return "critical";
    case "default":
      return "default";
    case "sheddable":
      return "sheddable";
    default:
      return undefined;
  }
}

/** The attempts that came before this one (gRFC A6): a whole number of at most three digits, 0 for anything else. */
export function readPreviousAttempts(received: FieldList): number {
  const text = received.get("grpc-previous-rpc-attempts");
  return text !== undefined && /^[0-9]{1,3}$/.test(text) ? Number(text) : 0;
}
