import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  booleanOption,
  choiceOption,
  contradiction,
  count,
  durationMs,
  durationOrZeroMs,
  functionOption,
  knownOptions,
  type NumberRange,
  numberOption,
  share,
} from "./options.ts";

test("a number in its range is taken as it is, what is not given is the default, the default is not judged", () => {
  assert.equal(numberOption("part.ms", 5, 1, durationMs), 5);
  assert.equal(numberOption("part.ms", undefined, 7, durationMs), 7);
  assert(Number.isNaN(numberOption("part.ms", undefined, Number.NaN, durationMs)));
  assert.equal(numberOption("part.ms", 0, 1, durationOrZeroMs), 0);
  assert.equal(numberOption("part.share", Number.MIN_VALUE, 1, share), Number.MIN_VALUE);
});

test("a number out of its range is refused with its name, the range and what was given", () => {
  for (const [value, range, message] of [
    [0, durationMs, "part.x: expected a number from 1 to 2147483647 ms, got 0"],
    [2 ** 31, durationMs, "part.x: expected a number from 1 to 2147483647 ms, got 2147483648"],
    [Number.POSITIVE_INFINITY, durationMs, "part.x: expected a number from 1 to 2147483647 ms, got Infinity"],
    [-1, durationOrZeroMs, "part.x: expected a number from 0 to 2147483647 ms, got -1"],
    [0, share, "part.x: expected a number above 0 to 1, got 0"],
    [1.0001, share, "part.x: expected a number above 0 to 1, got 1.0001"],
    [1.5, count, "part.x: expected a whole number from 1 to 1000000, got 1.5"],
    [Number.NaN, count, "part.x: expected a whole number from 1 to 1000000, got NaN"],
  ] as const) {
    assert.throws(() => numberOption("part.x", value, 1, range), { name: "RangeError", message });
  }
});

test("what is no number is a TypeError that shows it, shortened, and nothing of objects", () => {
  for (const [value, got] of [
    ["5s", '"5s"'],
    ["x".repeat(100), `"${"x".repeat(60)}"`],
    [null, "null"],
    [true, "true"],
    [5n, "5"],
    [{ secret: 1 }, "a value of type object"],
    [[1], "a value of type object"],
    [() => 5, "a value of type function"],
    [Symbol("five"), "Symbol(five)"],
  ] as const) {
    const message = `part.x: expected a number from 1 to 2147483647 ms, got ${got}`;
    assert.throws(() => numberOption("part.x", value, 1, durationMs), { name: "TypeError", message });
  }
});

test("whatever is given and whatever the range, a number comes out that is in it, or an error that names the option", () => {
  const range = fc
    .tuple(fc.integer({ min: -50, max: 50 }), fc.nat(100), fc.boolean())
    .map(([min, size, integer]): NumberRange => ({ min, max: min + size, integer }));
  const value = fc.oneof(fc.double(), fc.integer({ min: -200, max: 200 }), fc.anything());
  fc.assert(
    fc.property(value, range, (given, bounds) => {
      const isRight =
        given === undefined ||
        (typeof given === "number" &&
          given >= bounds.min &&
          given <= bounds.max &&
          (bounds.integer !== true || Number.isInteger(given)));
      if (isRight) {
        assert.equal(numberOption("a.b", given, bounds.max, bounds), given === undefined ? bounds.max : given);
        return;
      }
      assert.throws(
        () => numberOption("a.b", given, bounds.max, bounds),
        (error: unknown) => {
          assert(error instanceof (typeof given === "number" ? RangeError : TypeError));
          return error.message.startsWith("a.b: expected ");
        },
      );
    }),
  );
});

test("a choice is one of its words; functions and booleans are what they are", () => {
  const words = ["full", "none"] as const;
  assert.equal(choiceOption("p.jitter", "none", "full", words), "none");
  assert.equal(choiceOption("p.jitter", undefined, "full", words), "full");
  for (const word of ["FULL", "", 3, null, "toString"]) {
    assert.throws(() => choiceOption("p.jitter", word as never, "full", words), {
      name: "RangeError",
      message: /^p\.jitter: expected "full", "none", got /,
    });
  }
  for (const value of [undefined, () => 1, class {}]) functionOption("p.when", value);
  for (const value of [null, 1, "f", {}])
    assert.throws(() => functionOption("p.when", value), /p\.when: expected a function/);
  for (const value of [undefined, true, false]) booleanOption("p.idempotent", value);
  for (const value of [null, 0, "true", {}]) {
    assert.throws(() => booleanOption("p.idempotent", value), /p\.idempotent: expected true or false, got /);
  }
});

test("options are an object of known names; inherited ones do not count", () => {
  knownOptions("p", {}, []);
  knownOptions("p", { a: 1, b: undefined }, ["a", "b"]);
  knownOptions("p", Object.create({ inherited: 1 }), ["a"]);
  for (const given of [null, undefined, 5, "a", [], () => 1]) {
    assert.throws(() => knownOptions("p", given, ["a"]), {
      name: "TypeError",
      message: /^p: expected an object of options/,
    });
  }
  assert.throws(() => knownOptions("p", { c: undefined }, ["a", "b"]), {
    name: "TypeError",
    message: 'p: there is no option "c"; the options are a, b',
  });
});

test("a contradiction is a RangeError with the path in front", () => {
  const error = contradiction("p.maxMs", "1 is below minMs, 2");
  assert(error instanceof RangeError);
  assert.equal(error.message, "p.maxMs: 1 is below minMs, 2");
});
