import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Http2ConnectionError } from "./errors.ts";
import { FrameReader } from "./frame-reader.ts";
import { frame } from "./scripted-peer.ts";

function read(chunks: readonly Buffer[]): string[] {
  const seen: string[] = [];
  const sink = {
    isClosing: false,
    frame(type: number, flags: number, streamId: number, chunk: Buffer, start: number, end: number) {
      seen.push(`${type} ${flags} ${streamId} ${chunk.toString("hex", start, end)}`);
    },
  };
  const reader = new FrameReader(sink, 16_384);
  for (const chunk of chunks) {
    const copy = Buffer.from(chunk);
    reader.read(copy, 0);
    copy.fill(0xee);
  }
  return seen;
}

test("the same bytes give the same frames however they are cut", () => {
  const frames = fc.array(
    fc
      .tuple(fc.nat(255), fc.nat(255), fc.nat(0x7fffffff), fc.uint8Array({ maxLength: 40 }))
      .map(([type, flags, streamId, payload]) => frame(type, flags, streamId, payload)),
    { maxLength: 12 },
  );
  fc.assert(
    fc.property(frames, fc.array(fc.nat(30), { maxLength: 60 }), (parts, cuts) => {
      const whole = Buffer.concat(parts);
      const chunks: Buffer[] = [];
      let at = 0;
      for (const cut of cuts) {
        chunks.push(whole.subarray(at, at + cut));
        at += cut;
      }
      chunks.push(whole.subarray(at));
      const once = read([whole]);
      assert.equal(once.length, parts.length);
      assert.deepEqual(read(chunks), once);
    }),
  );
});

test("a frame above the limit is refused before its payload comes", () => {
  const header = frame(0, 0, 1, Buffer.alloc(16_385)).subarray(0, 9);
  assert.throws(() => read([header]), Http2ConnectionError);
  assert.throws(() => read([header.subarray(0, 4), header.subarray(4)]), Http2ConnectionError);
});
