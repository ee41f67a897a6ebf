import { ContractError } from "../../contract/index.ts";

/** One segment of a path: a literal, one segment of any text (`*`), or any number of them (`**`, last only). */
export type Segment =
  | { readonly kind: "literal"; readonly text: string }
  | { readonly kind: "one" }
  | { readonly kind: "rest" };

/** A variable of a template: the request field that it binds, and the segments that it covers. */
export interface Variable {
  readonly fieldPath: string;
  readonly start: number;
  /** Behind the last segment. */
  readonly end: number;
  /** Covers more than one `*`: `%2F` in it stays as sent. */
  readonly isMultiple: boolean;
}

/** A `google.api.http` path template, parsed (grammar: google/api/http.proto, "Path template syntax"). */
export interface Template {
  readonly segments: readonly Segment[];
  readonly variables: readonly Variable[];
  /** Behind the last `:`; `""` where there is none. */
  readonly verb: string;
}

const fieldPath = /^[A-Za-z_][A-Za-z0-9_]*(\.[A-Za-z_][A-Za-z0-9_]*)*$/;
const literal = /^[^\s{}*/:?#%]+$/;

/** @throws ContractError when the text is no template; `where` names its method */
export function parseTemplate(text: string, where: string): Template {
  const fail = (problem: string): never => {
    throw new ContractError(`${where}: path "${text}": ${problem}`);
  };
  if (!text.startsWith("/")) fail('must begin with "/"');
  const segments: Segment[] = [];
  const variables: Variable[] = [];
  // The grammar asks for a segment, but gateways serve the root as well.
  if (text === "/") return { segments, variables, verb: "" };
  let position = 1;

  const segment = (): void => {
    const rest = text.slice(position);
    if (rest.startsWith("**")) {
      segments.push({ kind: "rest" });
      position += 2;
    } else if (rest.startsWith("*")) {
      segments.push({ kind: "one" });
      position += 1;
    } else {
      const word = /^[^/:{}=*]*/.exec(rest)?.[0] ?? "";
      if (!literal.test(word)) fail(`expected a segment at "${rest}"`);
      segments.push({ kind: "literal", text: word });
      position += word.length;
    }
  };
  const variable = (): void => {
    const close = text.indexOf("}", position);
    if (close === -1) fail('a "{" is not closed');
    const equals = text.indexOf("=", position);
    const nameEnd = equals !== -1 && equals < close ? equals : close;
    const name = text.slice(position + 1, nameEnd);
    if (!fieldPath.test(name)) fail(`"${name}" is not the path of a field`);
    if (variables.some(other => other.fieldPath === name)) fail(`"${name}" is bound twice`);
    const start = segments.length;
    if (nameEnd === close) {
      segments.push({ kind: "one" });
    } else {
      position = nameEnd + 1;
      for (;;) {
        segment();
        if (text[position] !== "/") break;
        position++;
      }
      if (position !== close) fail(`the pattern of "${name}" is not understood`);
    }
    position = close + 1;
    const isPlain = segments.length === start + 1 && segments[start]?.kind === "one";
    variables.push({ fieldPath: name, start, end: segments.length, isMultiple: !isPlain });
  };

  for (;;) {
    if (text[position] === "{") variable();
    else segment();
    if (text[position] !== "/") break;
    position++;
  }
  let verb = "";
  if (text[position] === ":") {
    verb = text.slice(position + 1);
    if (!literal.test(verb)) fail(`":${verb}" is not a verb`);
    position = text.length;
  }
  if (position !== text.length) fail(`"${text.slice(position)}" is not understood`);
  const restAt = segments.findIndex(({ kind }) => kind === "rest");
  if (restAt !== -1 && restAt !== segments.length - 1) fail('"**" must be the last segment');
  return { segments, variables, verb };
}

/** Percent-decodes; `undefined` for what is not valid UTF-8 or a broken escape. */
export function percentDecode(text: string, keepSlashes = false): string | undefined {
  if (!text.includes("%")) return text;
  try {
    if (!keepSlashes) return decodeURIComponent(text);
    return text
      .split(/(%2[fF])/)
      .map((part, index) => (index % 2 === 1 ? part : decodeURIComponent(part)))
      .join("");
  } catch {
    return undefined;
  }
}
