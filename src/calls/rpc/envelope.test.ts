import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isRpcError } from "../../errors/index.ts";
import { EnvelopeReader } from "./envelope.ts";

function enveloped(payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(5 + payload.length);
  bytes.writeUInt32BE(payload.length, 1);
  bytes.set(payload, 5);
  return bytes;
}

test("however a body is cut into chunks, the same messages come out", () => {
  fc.assert(
    fc.property(
      fc.array(fc.uint8Array({ maxLength: 600 }), { maxLength: 8 }),
      fc.array(fc.integer({ min: 1, max: 300 }), { minLength: 1 }),
      (payloads, sizes) => {
        const body = Buffer.concat(payloads.map(enveloped));
        const reader = new EnvelopeReader(1000);
        const seen: number[][] = [];
        const sink = {
          envelope: (_flags: number, bytes: Buffer, start: number, end: number) => {
            seen.push([...bytes.subarray(start, end)]);
          },
        };
        for (let position = 0, turn = 0; position < body.length; turn++) {
          const end = Math.min(body.length, position + (sizes[turn % sizes.length] ?? 1));
          reader.read(body, position, end, sink);
          position = end;
        }
        assert.deepEqual(
          seen,
          payloads.map(payload => [...payload]),
        );
        assert.equal(reader.isAtBoundary, true);
      },
    ),
  );
});

test("a length over the limit is refused before its bytes come, also when the prefix itself is cut", () => {
  const prefix = Buffer.from([0, 0x7f, 0xff, 0xff, 0xff]);
  const never = { envelope: () => assert.fail("no message may come") };
  const refused = (error: unknown) => isRpcError(error, "resource_exhausted");
  assert.throws(() => new EnvelopeReader(100).read(prefix, 0, 5, never), refused);
  const cut = new EnvelopeReader(100);
  cut.read(prefix, 0, 3, never);
  assert.equal(cut.isAtBoundary, false);
  assert.throws(() => cut.read(prefix, 3, 5, never), refused);
});
