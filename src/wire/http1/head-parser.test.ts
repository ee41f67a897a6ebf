import assert from "node:assert/strict";
import { test } from "node:test";
import { FieldSectionParser, incomplete } from "./field-section.ts";
import { isHost, RequestHeadParser } from "./head-parser.ts";
import { knownName, knownNameIndex } from "./known-names.ts";
import { http1Limits } from "./limits.ts";

test("every prefix of a head is incomplete, and the head ends where its empty line ends", () => {
  const head = "GET /a?b HTTP/1.1\r\nHost: shop\r\nX-Name: value \r\n\r\n";
  const bytes = Buffer.from(`${head}behind`, "latin1");
  const parser = new RequestHeadParser(http1Limits);
  for (let end = 1; end < head.length; end++) assert.equal(parser.parse(bytes, 0, end), incomplete, `${end}`);
  assert.equal(parser.parse(bytes, 0, bytes.length), head.length);
  assert.equal(parser.section.get("x-name"), "value");
});

test("a section that repeats the one before is the same object, a longer or shorter one is not", () => {
  const parser = new FieldSectionParser(100);
  const read = (text: string): unknown => {
    assert.equal(parser.parse(Buffer.from(text), 0, text.length), text.length);
    return parser.section;
  };
  const first = read("a: 1\r\nb: 2\r\n\r\n");
  assert.equal(read("a: 1\r\nb: 2\r\n\r\n"), first);
  assert.notEqual(read("a: 1\r\nb: 3\r\n\r\n"), first);
  assert.equal(parser.section.get("b"), "3");
  assert.notEqual(read("a: 1\r\n\r\n"), first);
  assert.equal(parser.section.get("b"), undefined);
});

test("long paths are not kept", () => {
  const parser = new RequestHeadParser(http1Limits);
  const parse = (path: string): object => {
    const head = Buffer.from(`GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    assert.equal(parser.parse(head, 0, head.length), head.length);
    return parser.path;
  };
  const long = parse(`/${"a".repeat(300)}`);
  const short = parse("/a");
  parse("/b");
  assert.equal(parse("/a"), short);
  assert.notEqual(parse(`/${"a".repeat(300)}`), long);
});

test("names are found by their bytes, not by their hash alone", () => {
  const bytes = Buffer.from("Content-Length");
  let hash = 0;
  for (const byte of Buffer.from("content-length")) hash = (Math.imul(hash, 31) + byte) | 0;
  assert.equal(knownName(knownNameIndex(bytes, 0, bytes.length, hash)), "content-length");
  assert.equal(knownNameIndex(Buffer.from("content-lengtH2"), 0, 15, hash), -1);
  assert.equal(knownNameIndex(Buffer.from("xontent-length"), 0, 14, hash), -1);
});

test("hosts", () => {
  for (const host of ["a", "a:1", "1.2.3.4", "[::]", "[1::]", "[::ffff:1.2.3.4]:80", "[1:2:3:4:5:6:7:8]"]) {
    assert.equal(isHost(host), true, host);
  }
  for (const host of [
    "",
    ":",
    "[1:2:3:4:5:6:7:8:9]",
    "[::1::]",
    "[::256.1.1.1]",
    "[::1.2.3]",
    "a:123456",
    "a b",
    "[1.2.3.4]",
  ]) {
    assert.equal(isHost(host), false, host);
  }
});
