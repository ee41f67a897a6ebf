import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createFileRegistry } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FieldDescriptorProto_Label as Label,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { ContractError } from "../../contract/index.ts";
import { RpcError } from "../../errors/index.ts";
import { problem, RestRequestError } from "./problem.ts";
import { findField, removeField, setParameter } from "./request-value.ts";
import { parseTemplate, percentDecode } from "./template.ts";

const message = (() => {
  const field = (name: string, number: number, type: Type, label = Label.OPTIONAL, typeName = "") => ({
    name,
    number,
    type,
    label,
    typeName,
    jsonName: name.replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()),
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "rest_test.proto",
    package: "rest.test",
    syntax: "proto3",
    messageType: [
      { name: "Inner", field: [field("page_size", 1, Type.INT32)] },
      {
        name: "Request",
        field: [
          field("order_id", 1, Type.STRING),
          field("is_new", 2, Type.BOOL),
          field("tags", 3, Type.STRING, Label.REPEATED),
          field("inner", 4, Type.MESSAGE, Label.OPTIONAL, ".rest.test.Inner"),
          field("inners", 5, Type.MESSAGE, Label.REPEATED, ".rest.test.Inner"),
        ],
      },
    ],
  });
  const found = createFileRegistry(file, () => undefined).getMessage("rest.test.Request");
  assert.ok(found);
  return found;
})();

for (const bad of ["a", "/{a=}/b/", "/{", "/{a", "/{a=}", "/{a}/{a}", "/**/a", "/a?b", "/{1a}", "/a:", "/{a=**/b}"]) {
  test(`the template ${bad} is refused at start`, () => {
    assert.throws(() => parseTemplate(bad, "Test.Method"), ContractError);
  });
}

test("a variable of several segments keeps %2F, a single one decodes it", () => {
  assert.equal(percentDecode("a%2Fb%20c"), "a/b c");
  assert.equal(percentDecode("a%2Fb%20c", true), "a%2Fb c");
  assert.equal(percentDecode("a%zz"), undefined);
  assert.equal(percentDecode("%ff"), undefined);
});

function parameters(...pairs: readonly [string, string][]): unknown {
  const value: Record<string, unknown> = {};
  for (const [name, text] of pairs) {
    const fields = findField(message, name);
    assert.ok(fields, name);
    setParameter(value, fields, name, text);
  }
  return JSON.parse(JSON.stringify(value));
}

test("parameters are found in both spellings, nested and repeated", () => {
  assert.deepEqual(
    parameters(["orderId", "1"], ["is_new", "true"], ["tags", "a"], ["tags", "b"], ["inner.pageSize", "5"]),
    {
      order_id: "1",
      is_new: true,
      tags: ["a", "b"],
      inner: { page_size: "5" },
    },
  );
});

test("a scalar given twice, a repeated message and a false boolean are refused with the name", () => {
  const violation = (name: string) => (error: unknown) =>
    error instanceof RestRequestError && error.violations[0]?.field === name;
  assert.throws(() => parameters(["order_id", "1"], ["orderId", "2"]), violation("orderId"));
  assert.throws(() => parameters(["inners", "1"]), violation("inners"));
  assert.throws(() => parameters(["is_new", "yes"]), violation("is_new"));
  assert.equal(findField(message, "__proto__"), undefined);
  assert.equal(findField(message, "order_id.x"), undefined);
});

test("a nested parameter inside something that is no object in the body is refused, not a crash", () => {
  const fields = findField(message, "inner.page_size");
  assert.ok(fields);
  assert.throws(
    () => setParameter({ inner: "x" }, fields, "inner.page_size", "1"),
    (error: unknown) => error instanceof RestRequestError && error.violations[0]?.rule === "json.type",
  );
});

test("the path wins over the same field in the body, in either spelling", () => {
  const fields = findField(message, "inner.page_size");
  assert.ok(fields);
  const body = { inner: { pageSize: 7 } };
  removeField(body, fields);
  setParameter(body, fields, "inner.page_size", "1");
  assert.deepEqual(body, { inner: { page_size: "1" } });
});

test("an RpcError is no RestRequestError", () => {
  assert.equal(new RpcError("internal", "") instanceof RestRequestError, false);
});

test("internal errors never carry their message", () => {
  const { status, body } = problem(new RpcError("internal", "password is 1234"), "/a");
  assert.equal(status, 500);
  assert.ok(!body.includes("1234"));
});
