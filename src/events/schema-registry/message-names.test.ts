import assert from "node:assert/strict";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, file_google_protobuf_descriptor } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { ledger } from "../conformance/ledger.ts";
import { indexesOf } from "./frame-writer.ts";
import { messageAt, messageNames } from "./message-names.ts";

const text = `syntax = "proto3";
// message Comment {
package order.v1; /* message Other { */
import "google/protobuf/timestamp.proto";
option java_package = "message Text {";
message First {
  option deprecated = true;
  enum Kind { KIND_NONE = 0; }
  message Inner { message Deep {} string message = 1; }
  map<string, Inner> inners = 1;
  oneof which { string name = 2 [(rule).pattern = "}{"]; Inner inner = 3; }
  message Second {}
  reserved 5 to 9;
}
service Orders { rpc Get(First) returns (First) { option (http) = { get: "/x" }; } }
extend google.protobuf.MessageOptions { string topic = 50_001; }
message Second { First.Inner message = 1; }
`;

describe("the messages of a schema", () => {
  test("are found in the text of a .proto, whatever else is in it", () => {
    const file = messageNames(text);
    assert.equal(messageAt(file, [0]), "order.v1.First");
    assert.equal(messageAt(file, [1]), "order.v1.Second");
    assert.equal(messageAt(file, [0, 0]), "order.v1.First.Inner");
    assert.equal(messageAt(file, [0, 0, 0]), "order.v1.First.Inner.Deep");
    assert.equal(messageAt(file, [0, 1]), "order.v1.First.Second");
    assert.equal(messageAt(file, [2]), undefined);
    assert.equal(messageAt(file, [0, 0, 0, 0]), undefined);
    assert.equal(messageAt(messageNames("message Alone {}"), [0]), "Alone");
  });

  test("are the same in a descriptor, also beside fields of maps", () => {
    for (const file of [ledger("orders").file, file_google_protobuf_descriptor]) {
      const schema = Buffer.from(toBinary(FileDescriptorProtoSchema, file.proto)).toString("base64");
      const names = messageNames(schema);
      for (const message of file.messages) {
        assert.equal(messageAt(names, indexesOf(message)), message.typeName);
        for (const nested of message.nestedMessages) assert.equal(messageAt(names, indexesOf(nested)), nested.typeName);
      }
    }
  });

  test("are found in every .proto of the examples", () => {
    const root = join(import.meta.dirname, "../../../examples/shop/proto");
    let files = 0;
    for (const name of readdirSync(root, { recursive: true, encoding: "utf8" })) {
      if (!name.endsWith("events.proto")) continue;
      files++;
      const source = readFileSync(join(root, name), "utf8");
      const declared = [...source.matchAll(/^message (\w+)/gm)].map(([, one]) => one);
      const names = messageNames(source);
      assert.deepEqual(
        names.nested.map(one => one.name),
        declared,
      );
    }
    assert.ok(files > 0);
  });

  test("of what is no schema are none, and whatever is left open costs one pass", () => {
    for (const schema of ["{}", '{"type":"record"}', "message A {", "syntax", "AAAA", "!"]) {
      assert.throws(() => messageNames(schema), schema);
    }
    for (const open of ["/*", '"\\', "'\\", "//", "message A {", "{"]) {
      assert.throws(() => messageNames(open.repeat(400_000 / open.length)));
    }
    fc.assert(
      fc.property(fc.string({ maxLength: 200 }), schema => {
        try {
          messageNames(schema);
        } catch (error) {
          assert.ok(error instanceof Error);
        }
      }),
    );
  });
});
