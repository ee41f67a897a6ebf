import assert from "node:assert/strict";
import { test } from "node:test";
import { create, type DescMessage, fromJson, type JsonObject } from "@bufbuild/protobuf";
import { Int32ValueSchema, StructSchema } from "@bufbuild/protobuf/wkt";
import fc from "fast-check";
import { HealthCheckRequestSchema } from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { binaryCodec, jsonCodec, type Method } from "../../contract/index.ts";
import { isRpcError } from "../../errors/index.ts";
import { fingerprint } from "./fingerprint.ts";

/** As much of a method as a fingerprint needs. */
function methodOf(input: DescMessage, path = "/s/M"): Method {
  const codecs = { typeName: input.typeName, binary: binaryCodec(input), json: jsonCodec(input) };
  return { path, input: codecs, desc: { input } } as unknown as Method;
}

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString("hex");

test("a fingerprint has 32 bytes and changes with the request and with the method", () => {
  const seen = new Set<string>();
  for (const service of ["", "a", "b"]) {
    for (const path of ["/s/M", "/s/N"]) {
      const bytes = fingerprint(
        methodOf(HealthCheckRequestSchema, path),
        create(HealthCheckRequestSchema, { service }),
      );
      assert.equal(bytes.length, 32);
      seen.add(hex(bytes));
    }
  }
  assert.equal(seen.size, 6);
});

/** The same JSON with the members of every object in reverse. */
function reversed(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(reversed);
  if (typeof value !== "object" || value === null) return value;
  const copy: Record<string, unknown> = Object.create(null);
  for (const [name, member] of Object.entries(value).reverse()) copy[name] = reversed(member);
  return copy;
}

test("the order of members does not count, at any depth; their names and values do", () => {
  const method = methodOf(StructSchema);
  const of = (json: unknown) => hex(fingerprint(method, fromJson(StructSchema, json as JsonObject)));
  const json = fc.dictionary(fc.string({ unit: "grapheme", maxLength: 5 }), fc.jsonValue({ maxDepth: 3 }), {
    maxKeys: 5,
  });
  fc.assert(
    fc.property(json, object => {
      const normal = JSON.parse(JSON.stringify(object)) as JsonObject;
      const before = JSON.stringify(normal);
      assert.equal(of(reversed(normal)), of(normal));
      assert.equal(JSON.stringify(normal), before, "the request itself stays as it was");
      assert.notEqual(of({ ...normal, "another one": 1 }), of(normal));
    }),
  );
});

test("a request that cannot be encoded is its sender's fault", () => {
  assert.throws(
    () => fingerprint(methodOf(Int32ValueSchema), { value: "x" }),
    error => isRpcError(error, "invalid_argument"),
  );
});

test("a member called __proto__ is one like others", () => {
  const method = methodOf(StructSchema);
  const of = (text: string) => hex(fingerprint(method, binaryCodec(StructSchema).decode(...encoded(text))));
  assert.notEqual(of('{"a":1,"__proto__":{"b":2}}'), of('{"a":1}'));
  assert.equal(of('{"a":1,"__proto__":{"b":2}}'), of('{"__proto__":{"b":2},"a":1}'));
});

function encoded(text: string): [Uint8Array, number, number] {
  const field = (number: number, bytes: Uint8Array) =>
    Buffer.concat([Buffer.from([number * 8 + 2, bytes.length]), bytes]);
  const structOf = (json: object): Buffer =>
    Buffer.concat(
      Object.entries(json).map(([name, value]) => {
        const inner =
          typeof value === "number"
            ? Buffer.concat([Buffer.from([17]), Buffer.from(new Float64Array([value]).buffer)])
            : field(5, structOf(value as object));
        return field(1, Buffer.concat([field(1, Buffer.from(name)), field(2, inner)]));
      }),
    );
  const bytes = structOf(JSON.parse(text) as object);
  return [bytes, 0, bytes.length];
}
