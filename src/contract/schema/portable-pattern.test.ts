import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { portablePattern } from "./portable-pattern.ts";

describe("a pattern means the same in the syntax of JSON Schema", () => {
  const rows: readonly (readonly [re2: string, ecma: string])[] = [
    ["^ORD-[0-9]+$", "^ORD-[0-9]+$"],
    ["\\Aab\\z", "^ab$"],
    ["^.+$", "^[^\\n]+$"],
    ["a\\.b", "a\\.b"],
    ["\\s\\S", "[\\t\\n\\f\\r ][^\\t\\n\\f\\r ]"],
    ["[\\s.]", "[\\t\\n\\f\\r .]"],
    ["\\-\\@\\/", "-@\\/"],
    ["[a\\-z]", "[a\\-z]"],
    ["[]a]", "[\\]a]"],
    ["[^]a]", "[^\\]a]"],
    ["[[a]", "[\\[a]"],
    ["(?:a|b)", "(?:a|b)"],
    ["(a|b)*", "(a|b)*"],
    ["é{2,3}", "é{2,3}"],
  ];
  for (const [re2, ecma] of rows) test(re2, () => assert.equal(portablePattern(re2), ecma));
});

describe("a pattern without a counterpart is left out", () => {
  const refused = ["(?i)a", "(?P<name>a)", "(?<name>a)", "[[:alpha:]]", "\\pL", "\\p{Greek}", "[\\S]", "[\\b]"];
  refused.push("\\Qa.b\\E", "\\C", "\\x41", "\\101", "\\", "a**", "{", "a{,3}", "[z-a]", "(");
  for (const pattern of refused) test(pattern, () => assert.equal(portablePattern(pattern), undefined));
});
