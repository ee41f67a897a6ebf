import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { framePrefix, plainPayload, readProtobufFrame, schemaIdOf } from "./frame.ts";

const hex = (text: string) => Buffer.from(text.replaceAll(" ", ""), "hex");

describe("a frame", () => {
  test("has the bytes of Confluent's documentation", () => {
    // docs.confluent.io, "Wire format": the first message is a single 0; others have their number of indexes first, zigzag.
    assert.deepEqual(framePrefix(1, [0]), hex("00 00000001 00"));
    assert.deepEqual(framePrefix(100_000, [1, 0]), hex("00 000186a0 04 02 00"));
    assert.deepEqual(framePrefix(0xffff_ffff, [2]), hex("00 ffffffff 02 04"));
    assert.deepEqual(framePrefix(7, [100]), hex("00 00000007 02 c801"));
  });

  test("is read as it was written", () => {
    const index = fc.integer({ min: 0, max: 2 ** 31 - 1 });
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 0xffff_ffff }),
        fc.array(index, { minLength: 1, maxLength: 32 }),
        fc.uint8Array({ maxLength: 20 }),
        (id, indexes, payload) => {
          const body = Buffer.concat([framePrefix(id, indexes), payload]);
          assert.equal(schemaIdOf(body, 0, body.length), id);
          const frame = readProtobufFrame(body);
          assert.deepEqual(frame?.indexes, indexes);
          assert.deepEqual(Buffer.from(frame?.payload ?? []), Buffer.from(payload));
          assert.equal(plainPayload(body).length, body.length - 5);
        },
      ),
    );
  });

  test("is nothing that a JSON text or a Protobuf message begins with", () => {
    for (const bare of ["", "{", "[1]", "null", "\x08\x01", "\x00\x00\x00\x01"]) {
      const body = Buffer.from(bare, "latin1");
      assert.equal(schemaIdOf(body, 0, body.length), undefined);
    }
  });

  test("of hostile bytes is no frame of Protobuf, and costs nothing", () => {
    for (const rest of [
      "", // no indexes at all
      "01", // a negative number of them
      "04 02", // one of two
      "02 03", // a negative index
      "42", // 33 of them
      "fe ff ff ff 0f", // two thousand millions
      "80 80 80 80 80 80 00", // a number without end
    ]) {
      assert.equal(readProtobufFrame(hex(`00 00000001 ${rest}`)), undefined, rest);
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        const frame = readProtobufFrame(Buffer.concat([hex("00 00000001"), bytes]));
        if (frame !== undefined) assert.ok(frame.indexes.length > 0 && frame.indexes.every(one => one >= 0));
      }),
    );
  });
});
