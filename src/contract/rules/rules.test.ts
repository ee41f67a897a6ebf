import assert from "node:assert/strict";
import { describe, test } from "node:test";
import type { DescMessage } from "@bufbuild/protobuf";
import fc from "fast-check";
import { Dice } from "../codec/differential/index.ts";
import { byProtovalidate, type Validate } from "../validation.ts";
import { compiledRules } from "./compiled-rules.ts";
import { linearPattern } from "./linear-pattern.ts";
import { randomRuledMessage, randomRuledValue } from "./random-rules.fixture.ts";

/** Everything that callers can see of the violations. */
function shown(validate: Validate, message: object): readonly unknown[] {
  return validate(message).map(({ field, rule, message: text }) => [field("proto"), field("json"), rule, text]);
}

function compiled(desc: DescMessage): Validate {
  const validate = compiledRules(desc);
  assert.ok(validate, "the rules were left to protovalidate");
  return validate;
}

test("compiled rules find what protovalidate finds: fields, rules, texts and order", async () => {
  const seen = new Set<string>();
  for (let seed = 1; seed <= 25; seed++) {
    const dice = new Dice(seed);
    const desc = randomRuledMessage(dice);
    const own = compiled(desc);
    const referee = await byProtovalidate(desc);
    for (let round = 0; round < 12; round++) {
      const message = randomRuledValue(dice, desc);
      const expected = shown(referee, message);
      assert.deepEqual(shown(own, message), expected, `seed ${seed}, round ${round}`);
      for (const [, , rule] of expected as readonly string[][]) seen.add(rule ?? "");
    }
  }
  assert.ok(seen.size > 200, `only ${seen.size} rules were broken: ${[...seen].sort().join(" ")}`);
});

describe("a pattern is compiled here", () => {
  const kept = ["^[a-z]+$", "^a{3}$", "^[A-Z]{2}-[0-9]{4,}$", "^\\d+\\.\\d+", "^[a-zA-Z0-9._%+-]+@[a-z]+$", "^", "^$"];
  for (const source of kept) test(`when it leaves no choice: ${source}`, () => assert.ok(linearPattern(source)));
  const refused = [
    ...[
      "[a-z]+",
      "^a*a*$",
      "^[a-z]*[a-c]x$",
      "^(a|b)$",
      "^.$",
      "^\\s$",
      "^[^a]$",
      "^é$",
      "^a+?$",
      "^a**$",
      "^a{1001}$",
    ],
    ...[
      "^[[:alpha:]]$",
      "^[]a]$",
      "^a{,3}$",
      "^\\pL$",
      "^a|b$",
      "^a$b",
      "^[a",
      "^\\",
      "^a?b?a$",
      "^[b-a]$",
      "^[a-z-9]$",
    ],
  ];
  for (const source of refused) {
    test(`not when it may mean something else or take long: ${source}`, () =>
      assert.equal(linearPattern(source), undefined));
  }

  test("and then matches in time that grows as the text does", () => {
    const pieces = ["a", "[ab]", "[b-d]", "\\d", "\\w", "x?", "a*", "[b-d]+", "\\d{0,3}", "-", "[0-9_]*"];
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...pieces), { maxLength: 8 }), parts => {
        const pattern = linearPattern(`^${parts.join("")}$`);
        if (pattern === undefined) return;
        const text = `${"ab1_".repeat(500)}${"1".repeat(20_000)}!`;
        const startedAt = process.cpuUsage().user;
        pattern.test(text);
        assert.ok(process.cpuUsage().user - startedAt < 500_000, `${pattern}`);
      }),
      { numRuns: 60 },
    );
  });
});
