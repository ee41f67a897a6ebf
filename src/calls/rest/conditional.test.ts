import assert from "node:assert/strict";
import { test } from "node:test";
import { entityTag, precondition } from "./conditional.ts";

const weak = 'W/"a"';
const strong = '"a"';
const then = "Mon, 01 Jan 2024 00:00:00 GMT";
const before = "Sun, 31 Dec 2023 00:00:00 GMT";

/** RFC 9110, sections 13.1 and 13.2.2: what a request's preconditions mean for a tag and a date. */
const cases: readonly [headers: Record<string, string>, tag: string, modified: string | undefined, expected: string][] =
  [
    [{}, weak, undefined, "proceed"],
    [{ "if-none-match": strong }, weak, undefined, "not_modified"],
    [{ "if-none-match": weak }, strong, undefined, "not_modified"],
    [{ "if-none-match": '"b"' }, weak, undefined, "proceed"],
    [{ "if-none-match": '"b", W/"a"' }, weak, undefined, "not_modified"],
    [{ "if-none-match": '"b,\\"a\\""' }, weak, undefined, "proceed"],
    [{ "if-none-match": "*" }, weak, undefined, "not_modified"],
    [{ "if-none-match": "a" }, weak, undefined, "proceed"],
    [{ "if-match": strong }, strong, undefined, "proceed"],
    [{ "if-match": strong }, weak, undefined, "failed"],
    [{ "if-match": weak }, weak, undefined, "failed"],
    [{ "if-match": "*" }, weak, undefined, "proceed"],
    [{ "if-match": '"b"' }, strong, undefined, "failed"],
    // If-Match is judged before If-None-Match.
    [{ "if-match": strong, "if-none-match": strong }, strong, undefined, "not_modified"],
    [{ "if-match": '"b"', "if-none-match": strong }, strong, undefined, "failed"],
    [{ "if-modified-since": then }, weak, then, "not_modified"],
    [{ "if-modified-since": before }, weak, then, "proceed"],
    [{ "if-modified-since": then }, weak, undefined, "proceed"],
    [{ "if-modified-since": "soon" }, weak, then, "proceed"],
    // If-None-Match makes If-Modified-Since be ignored, If-Match If-Unmodified-Since.
    [{ "if-none-match": '"b"', "if-modified-since": then }, weak, then, "proceed"],
    [{ "if-unmodified-since": before }, weak, then, "failed"],
    [{ "if-unmodified-since": then }, weak, then, "proceed"],
    [{ "if-match": strong, "if-unmodified-since": before }, strong, then, "proceed"],
  ];
for (const [headers, tag, modified, expected] of cases) {
  const shown = Object.entries(headers).map(([name, value]) => `${name}: ${value}`);
  test(`${shown.join(", ") || "nothing"} for ${tag} of ${modified} is ${expected}`, () => {
    assert.equal(
      precondition(name => headers[name], tag, modified),
      expected,
    );
  });
}

test("an entity tag is the same for text and its bytes, and another one for other content", () => {
  assert.equal(entityTag("größe"), entityTag(Buffer.from("größe")));
  assert.notEqual(entityTag("a"), entityTag("b"));
  assert.match(entityTag(""), /^W\/"[\w-]+"$/);
});
