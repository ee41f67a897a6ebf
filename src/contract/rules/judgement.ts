import type { DescField, DescOneof } from "@bufbuild/protobuf";
import type { Path } from "@bufbuild/protobuf/reflect";

/** A rule of the contract that a message breaks. */
export interface RuleViolation {
  /** The field, for example `items[0].quantity`; `""` for a rule of the whole message. Spelled as the caller asks. */
  readonly field: (names: "json" | "proto") => string;
  readonly message: string;
  /** The rule, for example `int32.gt`. */
  readonly rule: string;
}

/** What is found while one message is judged, and where in it the judgement is. */
export class Judgement {
  readonly violations: RuleViolation[] = [];
  readonly #path: Path[number][] = [];

  enter(step: Path[number]): void {
    this.#path.push(step);
  }

  leave(): void {
    this.#path.pop();
  }

  /** Where the judgement is, something breaks `rule`. */
  violated(rule: string, message: string): void {
    const path = [...this.#path];
    this.violations.push({ field: names => pathText(path, names), message, rule });
  }
}

/** A path into a message as callers read it. */
export function pathText(path: Path, names: "json" | "proto"): string {
  let text = "";
  for (const element of path) {
    switch (element.kind) {
      case "list_sub":
        text += `[${element.index}]`;
        break;
      case "map_sub":
        text += `[${JSON.stringify(typeof element.key === "bigint" ? String(element.key) : element.key)}]`;
        break;
      case "extension":
        text += `[${element.typeName}]`;
        break;
      default:
        text += `${text === "" ? "" : "."}${nameOf(element, names)}`;
    }
  }
  return text;
}

function nameOf(element: DescField | DescOneof, names: "json" | "proto"): string {
  return names === "json" && element.kind === "field" ? element.jsonName : element.name;
}
