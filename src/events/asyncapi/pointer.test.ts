import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { resolved } from "../../../test/asyncapi/referee.ts";
import { referenceTo } from "./pointer.ts";

test("a reference leads to what it names, whatever the names are", () => {
  const name = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.constantFrom("", "~", "/", "~1", "#", "%", "a b", "__proto__"),
  );
  fc.assert(
    fc.property(fc.array(name, { minLength: 1, maxLength: 4 }), path => {
      const document = path.reduceRight<unknown>((inner, step) => Object.fromEntries([[step, inner]]), "here");
      assert.equal(resolved(document, referenceTo(...path).$ref), "here");
    }),
  );
});
