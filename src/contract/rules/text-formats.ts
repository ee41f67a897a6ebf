import { UncompiledRule } from "./check.ts";

/** A format that a text may have to have. */
export interface TextFormat {
  /** Its rule, without `string.`. */
  readonly rule: string;
  /** As in "must be a valid …". */
  readonly name: string;
  readonly isValid: (text: string) => boolean;
  /** The same as a pattern, where one says it. */
  readonly pattern?: RegExp;
  /** The empty text breaks a rule of its own. */
  readonly refusesEmpty: boolean;
}

function matches(rule: string, name: string, pattern: RegExp, refusesEmpty = true): TextFormat {
  return { rule, name, isValid: text => pattern.test(text), pattern, refusesEmpty };
}

/** Those of validate.proto whose definition is a pattern, or short. Addresses and URIs are protovalidate's. */
const formats: readonly TextFormat[] = [
  matches(
    "email",
    "email address",
    // The pattern of HTML, section 4.10.5.1.5. Between two dots there are 63 characters at most: no long way back.
    /^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$/,
  ),
  { rule: "hostname", name: "hostname", isValid: isHostname, refusesEmpty: true },
  matches("uuid", "UUID", /^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$/),
  matches("tuuid", "trimmed UUID", /^[0-9a-fA-F]{32}$/),
  matches("ulid", "ULID", /^[0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}$/),
  matches("protobuf_fqn", "fully-qualified Protobuf name", /^[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$/),
  matches(
    "protobuf_dot_fqn",
    "fully-qualified Protobuf name with a leading dot",
    /^\.[A-Za-z_][A-Za-z_0-9]*(\.[A-Za-z_][A-Za-z_0-9]*)*$/,
  ),
];

/** A name of RFC 1034 with labels of 63 characters, 253 together; the last one is not a number. */
function isHostname(text: string): boolean {
  if (text.length > 253) return false;
  const labels = (text.endsWith(".") ? text.slice(0, -1) : text).split(".");
  return (
    labels.every(label => label.length <= 63 && /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/.test(label)) &&
    !/^[0-9]*$/.test(labels.at(-1) ?? "")
  );
}

const httpHeaderName = 1;
const httpHeaderValue = 2;

/**
 * @param isStrict of HTTP headers: what RFC 9110 allows, not just anything that cannot split a message
 * @returns `undefined` for a format that is not asked for after all
 * @throws UncompiledRule for one that is not known here
 */
export function textFormat(rule: string, operand: unknown, isStrict: boolean): TextFormat | undefined {
  if (rule === "well_known_regex") return headerFormat(operand, isStrict);
  const format = formats.find(one => one.rule === rule);
  if (format === undefined) throw new UncompiledRule(`string.${rule}`);
  return operand === true ? format : undefined;
}

function headerFormat(part: unknown, isStrict: boolean): TextFormat | undefined {
  switch (part) {
    case httpHeaderName: {
      const rule = "well_known_regex.header_name";
      return matches(rule, "HTTP header name", isStrict ? /^:?[0-9a-zA-Z!#$%&'*+-.^_|~`]+$/ : /^[^\0\n\r]+$/);
    }
    case httpHeaderValue: {
      const rule = "well_known_regex.header_value";
      // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is refused
      const strict = /^[^\x00-\x08\n-\x1f\x7f]*$/;
      return matches(rule, "HTTP header value", isStrict ? strict : /^[^\0\n\r]*$/, false);
    }
    default:
      return undefined;
  }
}
