import { type Check, inOrder, listText, UncompiledRule } from "./check.ts";
import type { DeclaredRules } from "./declared-rules.ts";

/** In the order in which they are judged. */
const bytesRules = [
  "const",
  "len",
  "min_len",
  "max_len",
  "prefix",
  "suffix",
  "contains",
  "in",
  "not_in",
  "ip",
  "ipv4",
  "ipv6",
  "uuid",
  "example",
] as const;

const formats = {
  ip: { sizes: [4, 16], name: "IP address" },
  ipv4: { sizes: [4], name: "IPv4 address" },
  ipv6: { sizes: [16], name: "IPv6 address" },
  uuid: { sizes: [16], name: "UUID" },
} as const;

export function bytesCheck(rules: DeclaredRules): Check | undefined {
  for (const rule of rules.keys()) {
    if (!bytesRules.some(known => known === rule)) throw new UncompiledRule(`bytes.${rule}`);
  }
  return inOrder(bytesRules.map(rule => (rules.has(rule) ? checkOf(rule, rules.get(rule)) : undefined)));
}

function checkOf(rule: (typeof bytesRules)[number], operand: unknown): Check | undefined {
  const name = `bytes.${rule}`;
  const hex = () => Buffer.from(operand as Uint8Array).toString("hex");
  switch (rule) {
    case "const":
      return refuse(value => !equalBytes(value, operand as Uint8Array), name, `must be ${hex()}`);
    case "len":
      return refuse(({ length }) => BigInt(length) !== operand, name, `must be ${operand} bytes`);
    case "min_len":
      return refuse(({ length }) => length < (operand as bigint), name, `must be at least ${operand} bytes`);
    case "max_len":
      return refuse(({ length }) => length > (operand as bigint), name, `must be at most ${operand} bytes`);
    case "prefix": {
      const start = operand as Uint8Array;
      return refuse(
        value => !equalBytes(value.subarray(0, start.length), start),
        name,
        `does not have prefix ${hex()}`,
      );
    }
    case "suffix": {
      const end = operand as Uint8Array;
      const isMissing = (value: Uint8Array) =>
        value.length < end.length || !equalBytes(value.subarray(value.length - end.length), end);
      return refuse(isMissing, name, `does not have suffix ${hex()}`);
    }
    case "contains":
      return refuse(value => !viewOf(value).includes(operand as Uint8Array), name, `does not contain ${hex()}`);
    case "in": {
      const list = operand as readonly Uint8Array[];
      const message = `must be in list ${listText(list, textOf)}`;
      return refuse(value => !list.some(one => equalBytes(one, value)), name, message);
    }
    case "not_in": {
      const list = operand as readonly Uint8Array[];
      const message = `must not be in list ${listText(list, textOf)}`;
      return refuse(value => list.some(one => equalBytes(one, value)), name, message);
    }
    case "ip":
    case "ipv4":
    case "ipv6":
    case "uuid":
      return operand === true ? formatCheck(rule) : undefined;
    case "example":
      return undefined;
  }
}

function formatCheck(rule: keyof typeof formats): Check {
  const { sizes, name } = formats[rule];
  const allowed: readonly number[] = sizes;
  return (value, judgement) => {
    const { length } = value as Uint8Array;
    if (length === 0) judgement.violated(`bytes.${rule}_empty`, `value is empty, which is not a valid ${name}`);
    else if (!allowed.includes(length)) judgement.violated(`bytes.${rule}`, `must be a valid ${name}`);
  };
}

function refuse(isRefused: (value: Uint8Array) => boolean, rule: string, message: string): Check {
  return (value, judgement) => {
    if (isRefused(value as Uint8Array)) judgement.violated(rule, message);
  };
}

const decoder = new TextDecoder();

function textOf(bytes: unknown): string {
  return decoder.decode(bytes as Uint8Array);
}

function viewOf(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return viewOf(a).equals(b);
}
