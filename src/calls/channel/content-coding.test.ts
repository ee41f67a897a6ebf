import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  brotliCompressSync,
  deflateRawSync,
  deflateSync,
  gzipSync,
  constants as zlib,
  zstdCompressSync,
} from "node:zlib";
import fc from "fast-check";
import { isRpcError } from "../../errors/index.ts";
import { acceptedCodings, type ContentCoding, contentCoding, decodedBody } from "./content-coding.ts";

const encoders: Readonly<Record<ContentCoding, (bytes: Uint8Array) => Uint8Array>> = {
  gzip: gzipSync,
  br: bytes => brotliCompressSync(bytes, { params: { [zlib.BROTLI_PARAM_QUALITY]: 4 } }),
  zstd: zstdCompressSync,
  deflate: deflateSync,
};
const codings = Object.keys(encoders) as ContentCoding[];

/** A body of these chunks that tells what became of it. */
function source(chunks: readonly Uint8Array[], failure?: unknown) {
  const seen = { pulls: 0, cancelled: undefined as unknown };
  const body = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[seen.pulls++];
        if (chunk !== undefined) controller.enqueue(chunk);
        else if (failure !== undefined) controller.error(failure);
        else controller.close();
      },
      cancel(reason) {
        seen.cancelled = reason ?? "cancelled";
      },
    },
    { highWaterMark: 0 },
  );
  return { body, seen };
}

const decoded = (chunks: readonly Uint8Array[], coding: ContentCoding, bytesMax = 1_000_000) =>
  new Response(decodedBody(source(chunks).body, coding, bytesMax, "GET /x at orders:80")).bytes();

it("knows the codings that it asks for, and leaves alone what it cannot read", () => {
  assert.deepEqual(acceptedCodings.split(", ").sort(), [...codings].sort());
  for (const coding of codings) assert.equal(contentCoding(` ${coding.toUpperCase()} `), coding);
  assert.equal(contentCoding("x-gzip"), "gzip");
  for (const field of [null, "", "identity", "compress", "gzip, br", "gzip,gzip", "toString", "__proto__"]) {
    assert.equal(contentCoding(field), undefined, String(field));
  }
});

for (const coding of codings) {
  const encode = encoders[coding];

  describe(coding, () => {
    it("gives what was coded, however it is cut", async () => {
      await fc.assert(
        fc.asyncProperty(
          fc.uint8Array({ maxLength: 400 }),
          fc.integer({ min: 1, max: 300 }),
          fc.array(fc.nat(), { maxLength: 5 }),
          async (bytes, times, cuts) => {
            const plain = Buffer.concat(Array.from({ length: times }, () => bytes));
            const coded = encode(plain);
            const borders = [0, ...cuts.map(cut => cut % (coded.length + 1)).sort((a, b) => a - b), coded.length];
            const chunks = borders.slice(1).map((end, index) => coded.subarray(borders[index], end));
            const all = await decoded(
              chunks.filter(chunk => chunk.length > 0),
              coding,
            );
            assert(Buffer.from(all).equals(plain));
          },
        ),
        { numRuns: 60 },
      );
    });

    it("fails with its name when the body ends too early or is broken, at whatever place", async () => {
      const plain = Buffer.from(Array.from({ length: 20_000 }, (_, index) => (index * 7919) % 251));
      const coded = encode(plain);
      const isBroken = (error: unknown) =>
        isRpcError(error, "internal") && error.message.startsWith(`GET /x at orders:80: the body is not ${coding}: `);
      for (const end of [1, 2, 5, Math.floor(coded.length / 2), coded.length - 1]) {
        await assert.rejects(decoded([coded.subarray(0, end)], coding), isBroken, `of ${coded.length} bytes ${end}`);
      }
      await assert.rejects(decoded([Buffer.from("<html>Bad gateway</html>")], coding), isBroken);
    });

    it("never gives anything but the body, an error or a prefix, whatever comes", async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.nat(), async (garbage, at) => {
          const coded = Buffer.from(encode(Buffer.alloc(5_000, "text ")));
          coded.set(garbage.subarray(0, coded.length), at % Math.max(1, coded.length - garbage.length));
          const outcome = await decoded([coded], coding).then(
            () => "read",
            (error: unknown) => (isRpcError(error) ? error.code : String(error)),
          );
          assert(["read", "internal", "resource_exhausted"].includes(outcome), outcome);
        }),
        { numRuns: 60 },
      );
    });

    it("of no bytes at all is an empty body", async () => {
      assert.equal((await decoded([], coding)).length, 0);
    });

    it("is bounded while it is made: a bomb costs no more than the limit, and its source is let go of", async () => {
      const bomb = encode(Buffer.alloc(64 * 1_048_576));
      const pieces = Array.from({ length: bomb.length }, (_, index) => bomb.subarray(index, index + 1));
      const { body, seen } = source(pieces);
      const before = process.memoryUsage();
      let bytes = 0;
      await assert.rejects(
        async () => {
          for await (const chunk of decodedBody(body, coding, 1_048_576, "GET /x at orders:80")) bytes += chunk.length;
        },
        error => isRpcError(error, "resource_exhausted") && /1048576 bytes after decompression/.test(error.message),
      );
      assert(bytes <= 1_048_576);
      const grown = process.memoryUsage().arrayBuffers - before.arrayBuffers;
      assert(grown < 32 * 1_048_576, `${grown} bytes`);
      await new Promise(setImmediate);
      assert(seen.cancelled !== undefined || seen.pulls > pieces.length, "let go of, unless it had come completely");
      assert.equal(await decoded([encode(Buffer.alloc(100))], coding, 100).then(all => all.length), 100);
    });

    it("fails with what ended the body, not with what the decoder makes of it", async () => {
      const failure = new Error("the connection was lost");
      const coded = encode(Buffer.from("some text"));
      const { body } = source([coded.subarray(0, 5)], failure);
      await assert.rejects(new Response(decodedBody(body, coding, 1_000, "x")).bytes(), failure);
    });
  });
}

it("nothing is taken from a body before somebody reads it, and letting go of it reaches its source, before and after", async () => {
  const early = source([gzipSync("text")]);
  const unread = decodedBody(early.body, "gzip", 1_000, "x");
  await new Promise(setImmediate);
  assert.equal(early.seen.pulls, 0);
  await unread.cancel("not wanted");
  assert.equal(early.seen.cancelled, "not wanted");
  const noise = Buffer.from(Array.from({ length: 20_000 }, (_, index) => Math.imul(index, 0x9e3779b1) >>> 24));
  const late = source(Array.from({ length: 1_000 }, () => gzipSync(noise)));
  const reader = decodedBody(late.body, "gzip", 1e9, "x").getReader();
  assert.equal((await reader.read()).done, false);
  await reader.cancel("enough");
  await new Promise(setImmediate);
  assert.notEqual(late.seen.cancelled, undefined);
  assert(late.seen.pulls < 100, `${late.seen.pulls} of 1,000 chunks were taken`);
});

it("deflate without the zlib format, which the RFC does not allow, is an error", async () => {
  await assert.rejects(decoded([deflateRawSync(Buffer.alloc(1_000, "text"))], "deflate"), /the body is not deflate/);
});
