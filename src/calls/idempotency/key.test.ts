import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRpcError } from "../../errors/index.ts";
import { Metadata } from "../rpc/index.ts";
import { keyField, keyPattern, readKey } from "./key.ts";

function received(...values: readonly string[]): Metadata {
  const metadata = new Metadata();
  for (const value of values) metadata.appendReceived(keyField, value);
  return metadata;
}

test("a key is read bare and as a quoted string, which are the same key", () => {
  assert.equal(readKey(new Metadata()), undefined);
  for (const [sent, key] of [
    ["8e03978e-40d5-43dd-bc93-6894a57f9324", "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ['"8e03978e-40d5-43dd-bc93-6894a57f9324"', "8e03978e-40d5-43dd-bc93-6894a57f9324"],
    ["a,b;c=d", "a,b;c=d"],
    ['a"b', 'a"b'],
    ['"a\\"b\\\\"', 'a"b\\'],
    ["\\", "\\"],
    ["x".repeat(255), "x".repeat(255)],
    [`"${"\\\\".repeat(255)}"`, "\\".repeat(255)],
  ] as const) {
    assert.equal(readKey(received(sent)), key, sent);
  }
});

test("what is no key, or more than one, is refused with the header's name", () => {
  const long = "x".repeat(256);
  const wrong = [[""], [" "], ["a b"], ["a, b"], ['"'], ['""'], ['"a'], ['"a"b"'], ['"a b"'], ['"a";x=1'], ['"\\a"']];
  for (const values of [...wrong, [long], [`"${long}"`], ["a", "a"], ["é"], ["a\tb"], ["a\u007f"], ["\u{1f600}"]]) {
    assert.throws(
      () => readKey(received(...values)),
      error => isRpcError(error, "invalid_argument") && error.message.startsWith("idempotency-key "),
      JSON.stringify(values),
    );
  }
});

test("the described pattern holds for exactly what is read", () => {
  const pattern = new RegExp(keyPattern);
  const character = fc.constantFrom(...'ab "\\!~\u007fé'.split(""));
  fc.assert(
    fc.property(fc.array(character, { maxLength: 8 }), characters => {
      const text = characters.join("");
      let isRead = true;
      try {
        readKey(received(text));
      } catch {
        isRead = false;
      }
      assert.equal(pattern.test(text), isRead, JSON.stringify(text));
    }),
    { numRuns: 3_000 },
  );
});
