import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RouteTable } from "./route-table.ts";
import { parseTemplate, percentDecode, type Template } from "./template.ts";

interface Route {
  readonly httpMethod: string;
  readonly template: Template;
  readonly text: string;
}

/** The rules as a list that is sorted and tried from the front: slow, and plain. */
function referenceMatch(routes: readonly Route[], httpMethod: string, path: string): string | readonly string[] {
  const rank = { literal: 0, one: 1, rest: 2 };
  const parts = path === "/" ? [] : path.slice(1).split("/");
  const fits = ({ template: { segments, verb } }: Route): boolean => {
    let own = parts;
    if (verb !== "") {
      const last = parts.at(-1) ?? "";
      const colon = last.lastIndexOf(":");
      if (colon === -1 || percentDecode(last.slice(colon + 1)) !== verb) return false;
      own = [...parts.slice(0, -1), last.slice(0, colon)];
    }
    const isOpen = segments.at(-1)?.kind === "rest";
    if (isOpen ? own.length < segments.length - 1 : own.length !== segments.length) return false;
    return segments.every((segment, index) => {
      if (segment.kind === "rest") return true;
      return segment.kind === "literal" ? percentDecode(own[index] as string) === segment.text : own[index] !== "";
    });
  };
  const all = routes.filter(fits);
  const withVerb = all.filter(({ template }) => template.verb !== "");
  const fitting = withVerb.length > 0 ? withVerb : all;
  const own = fitting.filter(route => route.httpMethod === httpMethod);
  if (own.length === 0) return [...new Set(fitting.map(route => route.httpMethod))].sort();
  const [best] = own.sort((a, b) => {
    if ((a.template.verb === "") !== (b.template.verb === "")) return a.template.verb === "" ? 1 : -1;
    const [left, right] = [a.template.segments, b.template.segments];
    for (let index = 0; index < Math.max(left.length, right.length); index++) {
      // Ending here beats `**`, which took nothing.
      const ranks = [left, right].map(list => {
        const here = list[index];
        return here === undefined ? 1 : rank[here.kind];
      });
      const difference = (ranks[0] as number) - (ranks[1] as number);
      if (difference !== 0) return difference;
    }
    return 0;
  });
  return best?.text ?? "";
}

const word = fc.constantFrom("a", "b", "c");
const segment = fc.oneof(word, word, fc.constantFrom("*", "{x}", "{x=*}", "{x=a/*}", "{x=*/b}"));
const template = fc
  .tuple(
    fc.array(segment, { minLength: 0, maxLength: 4 }),
    fc.constantFrom("", "", "**", "{y=**}", "{y=a/**}"),
    fc.constantFrom("", "", ":v", ":w"),
  )
  .filter(([segments, end]) => segments.length > 0 || end !== "")
  .map(([segments, end, verb]) => {
    // A field is bound once: later variables become plain.
    let isBound = false;
    const own = segments.map(text => {
      if (!text.startsWith("{")) return text;
      if (!isBound) {
        isBound = true;
        return text;
      }
      return text === "{x}" ? "*" : text.slice(3, -1);
    });
    return `/${[...own, ...(end === "" ? [] : [end])].join("/")}${verb}`;
  });
const route = fc.tuple(fc.constantFrom("GET", "POST"), template);
const pathPart = fc.constantFrom("a", "b", "c", "d", "%61", "", "a:v", "b:w", "x:v:w", ":v", "%zz", "a%3Av", "a%2Fb");
const path = fc.array(pathPart, { maxLength: 6 }).map(parts => `/${parts.join("/")}`);

test("the tree finds what a plain list of sorted templates finds", () => {
  fc.assert(
    fc.property(fc.array(route, { maxLength: 12 }), fc.array(path, { minLength: 1, maxLength: 20 }), (given, paths) => {
      const table = new RouteTable<Route>();
      const routes: Route[] = [];
      for (const [httpMethod, text] of given) {
        const one = { httpMethod, template: parseTemplate(text, "Test.Method"), text };
        if (table.add(httpMethod, one.template, one) === undefined) routes.push(one);
      }
      for (const target of paths) {
        const found = table.find("GET", target);
        const actual = "route" in found ? found.route.text : [...found].sort();
        assert.deepEqual(actual, referenceMatch(routes, "GET", target), target);
      }
    }),
    { numRuns: 500 },
  );
});

test("the order of declaration never matters", () => {
  fc.assert(
    fc.property(fc.uniqueArray(template, { maxLength: 8 }), path, (texts, target) => {
      const find = (order: readonly string[]): unknown => {
        const table = new RouteTable<string>();
        const shapes = order.map(text => table.add("GET", parseTemplate(text, "Test.Method"), text));
        fc.pre(shapes.every(other => other === undefined));
        const found = table.find("GET", target);
        return "route" in found ? found.route : found;
      };
      assert.deepEqual(find(texts), find(texts.toReversed()));
    }),
  );
});

test("a path that forks at every segment costs no more than the routes", () => {
  const table = new RouteTable<string>();
  const depth = 12;
  for (let bits = 0; bits < 2 ** depth; bits++) {
    const segments = Array.from({ length: depth }, (_, index) => ((bits >> index) & 1 ? "a" : "*"));
    const text = `/${segments.join("/")}/end`;
    table.add("GET", parseTemplate(text, "Test.Method"), text);
  }
  const target = `/${Array(depth).fill("a").join("/")}/other`;
  assert.deepEqual(table.find("GET", target), []);
});
