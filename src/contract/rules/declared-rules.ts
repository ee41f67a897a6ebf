import {
  type DescExtension,
  type DescField,
  type DescFile,
  type DescMessage,
  type DescOneof,
  getOption,
  isFieldSet,
  type Message,
} from "@bufbuild/protobuf";
import { UncompiledRule } from "./check.ts";

/** What a message of buf/validate/validate.proto says: the fields that are set, by name; messages in it likewise. */
export type DeclaredRules = ReadonlyMap<string, unknown>;

/** `buf.validate.field`, `.message` and `.oneof` have this number in the options of what they annotate. */
const rulesNumber = 1159;

const withRules = new WeakMap<DescMessage, boolean>();

/** Whether messages of a type, or messages in them, have `buf.validate` rules. */
export function hasRules(desc: DescMessage): boolean {
  let answer = withRules.get(desc);
  if (answer === undefined) {
    const seen = new Set<DescMessage>();
    answer = reaches(desc, seen);
    if (answer) withRules.set(desc, true);
    // Nothing was found anywhere: what was looked at has none either.
    else for (const one of seen) withRules.set(one, false);
  }
  return answer;
}

function reaches(desc: DescMessage, seen: Set<DescMessage>): boolean {
  const known = withRules.get(desc);
  if (known !== undefined) return known;
  if (seen.has(desc)) return false;
  seen.add(desc);
  if ([desc, ...desc.fields, ...desc.oneofs].some(isAnnotated)) return true;
  return desc.fields.some(({ message }) => message !== undefined && reaches(message, seen));
}

function isAnnotated({ proto }: DescMessage | DescField | DescOneof): boolean {
  return proto.options?.$unknown?.some(({ no }) => no === rulesNumber) === true;
}

/**
 * Reads the rules of the messages, fields and oneofs of a file with the descriptors that the contract brings along, because it
 * imports validate.proto: loading protovalidate's copy takes longer than everything else here.
 * @throws UncompiledRule when the file does not import it
 */
export class RulesReader {
  readonly #options: Readonly<Record<"message" | "field" | "oneof", DescExtension>>;

  constructor(file: DescFile) {
    const validate = importOf(file, new Set());
    const option = (name: string) => {
      const found = validate?.extensions.find(one => one.name === name && one.number === rulesNumber);
      if (found === undefined)
        throw new UncompiledRule(`${file.name}.proto does not import buf/validate/validate.proto`);
      return found;
    };
    this.#options = { message: option("message"), field: option("field"), oneof: option("oneof") };
  }

  /** @throws UncompiledRule for what the contract's validate.proto does not know */
  read(desc: DescMessage | DescField | DescOneof): DeclaredRules {
    if (!isAnnotated(desc)) return noRules;
    switch (desc.kind) {
      case "message":
        return this.#rules(desc, this.#options.message);
      case "field":
        return this.#rules(desc, this.#options.field);
      case "oneof":
        return this.#rules(desc, this.#options.oneof);
    }
  }

  #rules(desc: DescMessage | DescField | DescOneof, option: DescExtension): DeclaredRules {
    if (option.fieldKind !== "message") throw new UncompiledRule(`${option.typeName} is no message`);
    return declared(option.message, getOption(desc, option) as Message);
  }
}

const noRules: DeclaredRules = new Map();

function importOf(file: DescFile, seen: Set<DescFile>): DescFile | undefined {
  if (file.proto.name === "buf/validate/validate.proto") return file;
  seen.add(file);
  for (const dependency of file.dependencies) {
    const found = seen.has(dependency) ? undefined : importOf(dependency, seen);
    if (found !== undefined) return found;
  }
  return undefined;
}

function declared(desc: DescMessage, message: Message): DeclaredRules {
  if (message.$unknown !== undefined && message.$unknown.length > 0) {
    throw new UncompiledRule(`${desc.typeName} has rules that are not in the contract's validate.proto`);
  }
  const rules = new Map<string, unknown>();
  for (const field of desc.fields) {
    if (!isFieldSet(message, field)) continue;
    const holder = message as unknown as Readonly<Record<string, unknown>>;
    const value =
      field.oneof === undefined
        ? holder[field.localName]
        : (holder[field.oneof.localName] as { readonly value: unknown }).value;
    rules.set(field.name, field.fieldKind === "message" ? declared(field.message, value as Message) : value);
  }
  return rules;
}
