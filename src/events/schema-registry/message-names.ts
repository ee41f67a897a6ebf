import { fromBinary } from "@bufbuild/protobuf";
import { type DescriptorProto, FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { nestingMax } from "./limits.ts";

/** The messages of a Protobuf file as indexes count them: in the order of their declarations, those of fields of maps left out. */
export interface MessageNames {
  readonly name: string;
  readonly nested: readonly MessageNames[];
}

/** The full name of the message at a place. */
export function messageAt(file: MessageNames, indexes: readonly number[]): string | undefined {
  let at: MessageNames | undefined = file;
  const parts = file.name === "" ? [] : [file.name];
  for (const index of indexes) {
    at = at?.nested[index];
    if (at === undefined) return undefined;
    parts.push(at.name);
  }
  return parts.join(".");
}

/**
 * Of a schema as registries give it: the text of a .proto file, or a file descriptor in base64.
 * @throws Error for what is neither
 */
export function messageNames(schema: string): MessageNames {
  return fromDescriptor(schema) ?? fromText(schema);
}

function fromDescriptor(schema: string): MessageNames | undefined {
  const text = schema.trim();
  if (!/^[A-Za-z0-9+/\s]+={0,2}$/.test(text)) return undefined;
  try {
    const file = fromBinary(FileDescriptorProtoSchema, Buffer.from(text, "base64"));
    return { name: file.package, nested: declared(file.messageType).map(message => fromMessage(message, 1)) };
  } catch {
    return undefined;
  }
}

function fromMessage({ name, nestedType }: DescriptorProto, depth: number): MessageNames {
  if (depth > nestingMax) throw new Error(`messages are nested more than ${nestingMax} deep`);
  return { name, nested: declared(nestedType).map(nested => fromMessage(nested, depth + 1)) };
}

/** Those that a file declares; descriptors have one more for each field of a map. */
export function declared(messages: readonly DescriptorProto[]): readonly DescriptorProto[] {
  return messages.filter(({ options }) => options?.mapEntry !== true);
}

/** A lexer, in one pass whatever is left open, of .proto files that understands `package`, `message` and braces. */
const lexeme =
  /\/\/[^\n]*|\/\*[\s\S]*?(?:\*\/|$)|"(?:\\.|[^"\\\n])*"?|'(?:\\.|[^'\\\n])*'?|[A-Za-z_][A-Za-z0-9_.]*|[{};=]|[\s\S]/g;

function fromText(schema: string): MessageNames {
  interface Open {
    readonly name: string;
    readonly nested: Open[];
  }
  const file: Open = { name: "", nested: [] };
  let packageName = "";
  /** What the braces belong to; `undefined` for those that are no message. */
  const open: (Open | undefined)[] = [file];
  let words: string[] = [];
  for (const [token] of schema.matchAll(lexeme)) {
    if (token === "{") {
      const parent = open.at(-1);
      const [keyword, name] = words;
      const message =
        keyword === "message" && words.length === 2 && parent !== undefined
          ? { name: name as string, nested: [] }
          : undefined;
      if (message !== undefined) parent?.nested.push(message);
      if (open.length > nestingMax) throw new Error(`braces are nested more than ${nestingMax} deep`);
      open.push(message);
      words = [];
    } else if (token === "}" || token === ";") {
      if (token === "}" && open.length > 1) open.pop();
      if (words[0] === "package" && words.length === 2 && open.length === 1) packageName = words[1] as string;
      words = [];
    } else if (/^[A-Za-z_=]/.test(token) && words.length < 4) words.push(token);
  }
  if (open.length !== 1 || file.nested.length === 0) throw new Error("it is no .proto file with messages");
  return { name: packageName, nested: file.nested };
}
