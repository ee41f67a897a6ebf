import { parseSync } from "@swc/core";

/**
 * The rule of the platform seam: what a file of src/ may not touch, because only the platform does. Whole-system
 * simulation depends on it. Works on the syntax tree, so that comments and strings do not count.
 */

export interface SeamViolation {
  readonly line: number;
  /** What was found, for example `Date.now`. */
  readonly found: string;
  readonly instead: string;
}

const globals: Readonly<Record<string, string>> = {
  setTimeout: "clock.after",
  setInterval: "clock.after",
  setImmediate: "clock.endOfTurn",
  fetch: "a channel",
  WebSocket: "a connection pool",
  performance: "clock.now",
};

const members: Readonly<Record<string, string>> = {
  "Date.now": "clock.wall",
  "Math.random": "random.next",
  "AbortSignal.timeout": "clock.after and an AbortController",
  "crypto.randomUUID": "random.bytes",
  "crypto.getRandomValues": "random.bytes",
  "process.hrtime": "clock.now",
  "process.env": "Environment of the platform",
};

const modules: Readonly<Record<string, string>> = {
  cluster: "workers of the platform",
  net: "platform.network",
  tls: "platform.network",
  dgram: "platform.network",
  dns: "platform.network.lookup",
  "dns/promises": "platform.network.lookup",
  http: "a connection pool",
  https: "a connection pool",
  http2: "a connection pool",
  timers: "clock.after",
  "timers/promises": "clock.after",
  perf_hooks: "clock.now",
  async_hooks: "the ambient context of the platform",
};

const randomOfCrypto = /^(random|getRandomValues|webcrypto|default$)/;

interface SyntaxNode {
  readonly type: string;
  readonly span?: { readonly start: number };
  readonly [field: string]: unknown;
}

function isNode(value: unknown): value is SyntaxNode {
  return typeof value === "object" && value !== null && typeof (value as SyntaxNode).type === "string";
}

function identifier(value: unknown): string | undefined {
  return isNode(value) && value.type === "Identifier" ? (value.value as string) : undefined;
}

/** The name of a member: `a.b` and `a["b"]`. */
function memberName(node: SyntaxNode): string | undefined {
  const property = node.property;
  if (identifier(property) !== undefined) return identifier(property);
  const computed = isNode(property) && property.type === "Computed" ? property.expression : undefined;
  return isNode(computed) && computed.type === "StringLiteral" ? (computed.value as string) : undefined;
}

/** `Date` of `Date`, `globalThis.Date` and `global.Date`. */
function globalName(value: unknown): string | undefined {
  if (isNode(value) && value.type === "MemberExpression") {
    const object = identifier(value.object);
    return object === "globalThis" || object === "global" ? memberName(value) : undefined;
  }
  return identifier(value);
}

/** Everything in `source` that only the platform may do. */
export function findSeamViolations(source: string): readonly SeamViolation[] {
  const ast = parseSync(source, { syntax: "typescript", target: "es2022" }) as unknown as SyntaxNode;
  // swc counts bytes on from earlier files; the first comment or statement does not say where the file began.
  const fileStart = (ast.span?.start ?? 1) - leadingBytes(source);
  const bytes = Buffer.from(source);
  const violations: SeamViolation[] = [];
  const report = (node: SyntaxNode, found: string, instead: string | undefined) => {
    if (instead === undefined) return;
    const offset = Math.max((node.span?.start ?? fileStart) - fileStart, 0);
    let line = 1;
    for (const byte of bytes.subarray(0, offset)) if (byte === 0x0a) line++;
    violations.push({ line, found, instead });
  };
  const lookup = (table: Readonly<Record<string, string>>, name: string | undefined) =>
    name !== undefined && Object.hasOwn(table, name) ? table[name] : undefined;

  const visit = (node: SyntaxNode): void => {
    switch (node.type) {
      case "ImportDeclaration":
        if (node.typeOnly !== true) checkImport(node);
        return;
      case "ExportNamedDeclaration":
      case "ExportAllDeclaration":
        if (isNode(node.source)) checkModule(node, (node.source as SyntaxNode).value as string);
        break;
      case "CallExpression": {
        const callee = node.callee;
        const first = (node.arguments as readonly { expression: unknown }[])[0]?.expression;
        const isImport = isNode(callee) && (callee.type === "Import" || identifier(callee) === "require");
        if (isImport && isNode(first) && first.type === "StringLiteral") checkModule(node, first.value as string);
        if (globalName(callee) === "Date") report(node, "Date()", "clock.wall");
        break;
      }
      case "NewExpression":
        if (globalName(node.callee) === "Date" && ((node.arguments as unknown[] | null)?.length ?? 0) === 0) {
          report(node, "new Date()", "clock.wall");
        }
        break;
      case "MemberExpression": {
        const object = globalName(node.object);
        const property = memberName(node);
        report(node, `${object}.${property}`, lookup(members, `${object}.${property}`));
        if (object === "globalThis" || object === "global") report(node, `${property}`, lookup(globals, property));
        // The property of a member is a name, not a reference.
        if (isNode(node.object)) visit(node.object as SyntaxNode);
        if (isNode(node.property) && (node.property as SyntaxNode).type === "Computed") {
          visit(node.property as SyntaxNode);
        }
        return;
      }
      case "VariableDeclarator": {
        const from = globalName(node.init);
        const pattern = node.id;
        if (from !== undefined && isNode(pattern) && pattern.type === "ObjectPattern") {
          for (const property of pattern.properties as readonly SyntaxNode[]) {
            const name = identifier(property.key);
            report(property, `${from}.${name}`, lookup(members, `${from}.${name}`));
          }
        }
        break;
      }
      case "Identifier":
        report(node, node.value as string, lookup(globals, node.value as string));
        return;
      case "KeyValueProperty":
        if (isNode(node.key) && (node.key as SyntaxNode).type === "Computed") visit(node.key as SyntaxNode);
        if (isNode(node.value)) visit(node.value as SyntaxNode);
        return;
    }
    for (const [field, value] of Object.entries(node)) {
      // Names of members that a class, object or type declares, and types themselves, are no references.
      if (field === "typeAnnotation" || field === "typeParams" || field === "returnType") continue;
      if (field === "key" && identifier(value) !== undefined) continue;
      if (Array.isArray(value)) for (const item of value) visitInside(item);
      else visitInside(value);
    }
  };
  const visitInside = (value: unknown): void => {
    if (isNode(value)) {
      if (!value.type.startsWith("TsType") && !value.type.startsWith("TsInterface")) visit(value);
    } else if (typeof value === "object" && value !== null) {
      for (const inner of Object.values(value)) {
        if (Array.isArray(inner)) for (const item of inner) visitInside(item);
        else visitInside(inner);
      }
    }
  };
  const checkModule = (node: SyntaxNode, name: string) => {
    const bare = name.startsWith("node:") ? name.slice(5) : name;
    report(node, `import of ${name}`, lookup(modules, bare));
  };
  const checkImport = (node: SyntaxNode) => {
    const name = (node.source as SyntaxNode).value as string;
    const specifiers = (node.specifiers as readonly SyntaxNode[]).filter(one => one.isTypeOnly !== true);
    if (specifiers.length > 0 || (node.specifiers as unknown[]).length === 0) checkModule(node, name);
    if (name !== "node:crypto" && name !== "crypto") return;
    for (const one of specifiers) {
      const imported = identifier(one.imported) ?? identifier(one.local) ?? "";
      const isWhole = one.type !== "ImportSpecifier";
      if (isWhole || randomOfCrypto.test(imported)) report(node, `${imported} of ${name}`, "platform.random");
    }
  };
  visit(ast);
  return violations;
}

/** Bytes before the first token, which is where swc lets a module begin. */
function leadingBytes(source: string): number {
  const blank = /^(?:\s|\/\/[^\n]*(?:\n|$)|\/\*[\s\S]*?\*\/|#![^\n]*\n)*/.exec(source)?.[0] ?? "";
  return Buffer.byteLength(blank);
}
