import assert from "node:assert/strict";
import { test } from "node:test";
import { create, toBinary } from "@bufbuild/protobuf";
import { BadRequestSchema, ErrorInfoSchema } from "../../contract/gen/google/rpc/error_details_pb.ts";
import { RpcError } from "../../errors/index.ts";
import { findDetails } from "./find-details.ts";

const bytes = toBinary(BadRequestSchema, create(BadRequestSchema, { fieldViolations: [{ field: "age" }] }));

test("details of the asked type are found, as they came or as they were given", () => {
  const error = new RpcError("invalid_argument", "", {
    details: [
      { type: "google.rpc.BadRequest", value: bytes },
      [ErrorInfoSchema, { reason: "AGE" }],
      [BadRequestSchema, { fieldViolations: [{ field: "name" }] }],
    ],
  });
  const fields = findDetails(error, BadRequestSchema).map(({ fieldViolations }) => fieldViolations[0]?.field);
  assert.deepEqual(fields, ["age", "name"]);
  assert.deepEqual(
    findDetails(error, ErrorInfoSchema).map(({ reason }) => reason),
    ["AGE"],
  );
});

test("a detail that does not decode is left out, the others stay", () => {
  const type = "google.rpc.BadRequest";
  const error = new RpcError("invalid_argument", "", {
    details: [
      { type, value: Uint8Array.of(0xff) },
      { type, value: bytes },
    ],
  });
  assert.equal(findDetails(error, BadRequestSchema).length, 1);
});
