import assert from "node:assert/strict";
import { test } from "node:test";
import { create, createFileRegistry, type DescService, setExtension } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  FieldDescriptorProto_Label as Label,
  MethodOptionsSchema,
  FieldDescriptorProto_Type as Type,
} from "@bufbuild/protobuf/wkt";
import { http } from "../../contract/gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../../contract/gen/google/api/http_pb.ts";
import { compileService } from "../../contract/index.ts";
import { RestRequestError } from "./problem.ts";
import { RestRoutes } from "./routes.ts";

/** Routes of methods on a recursive message with the fields `id`, `name` and `inner`. */
function routes(...bindings: readonly (readonly [verb: "get" | "post", template: string])[]): RestRoutes {
  const field = (name: string, number: number, type: Type, typeName = "") => ({
    name,
    jsonName: name,
    number,
    type,
    typeName,
    label: Label.OPTIONAL,
  });
  const file = create(FileDescriptorProtoSchema, {
    name: "node.proto",
    package: "node",
    syntax: "proto3",
    messageType: [
      {
        name: "Node",
        field: [
          field("id", 1, Type.STRING),
          field("name", 2, Type.STRING),
          field("inner", 3, Type.MESSAGE, ".node.Node"),
        ],
      },
    ],
    service: [
      {
        name: "NodeService",
        method: bindings.map(([verb, template], index) => {
          const options = create(MethodOptionsSchema);
          const body = verb === "post" ? "*" : "";
          setExtension(options, http, create(HttpRuleSchema, { pattern: { case: verb, value: template }, body }));
          return { name: `M${index}`, inputType: ".node.Node", outputType: ".node.Node", options };
        }),
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return new RestRoutes([compileService(registry.getService("node.NodeService") as DescService)]);
}

/** The name of the method that takes a request, with its message as plain JSON would have it. */
function answer(table: RestRoutes, verb: string, target: string, body?: string): unknown {
  const match = table.match(verb, target);
  assert.equal(match.kind, "match", target);
  if (match.kind !== "match") return undefined;
  const { $typeName: _, ...message } = match.route.request(
    match.route.parameters(match.segments, match.query),
    body === undefined ? undefined : Buffer.from(body),
  ) as unknown as Record<string, unknown>;
  return [match.route.method.name, message];
}

test("a body with two members of one name is refused at any depth, one with colons in strings is not", () => {
  const table = routes(["post", "/v1/nodes"]);
  const duplicated = ['{"id":"a","id":"b"}', '{"inner":{"id":"a","id":"a"}}', '{"id":"a","i\\u0064":"b"}'];
  for (const body of duplicated) {
    assert.throws(
      () => answer(table, "POST", "/v1/nodes", body),
      error => error instanceof RestRequestError && error.violations[0]?.rule === "json.duplicate_field",
    );
  }
  const harmless = '{"id":"a:b:c","name":"\\"id\\":","inner":{"id":"::"}}';
  assert.equal((answer(table, "POST", "/v1/nodes", harmless) as unknown[])[0], "M0");
});

test("a route with a verb goes before a variable that would take the verb as text", () => {
  const table = routes(["get", "/v1/{id}"], ["get", "/v1/{id=**}:archive"]);
  assert.deepEqual(answer(table, "GET", "/v1/a:archive"), ["M1", { id: "a", name: "" }]);
  assert.deepEqual(answer(table, "GET", "/v1/a:other"), ["M0", { id: "a:other", name: "" }]);
});

test("only the bound field itself is no query parameter, not the same field of an inner message", () => {
  const table = routes(["get", "/v1/{id}"]);
  const [, message] = answer(table, "GET", "/v1/a?inner.id=b") as [string, { inner: { id: string } }];
  assert.equal(message.inner.id, "b");
  assert.throws(
    () => answer(table, "GET", "/v1/a?id=b"),
    error => error instanceof RestRequestError && error.violations[0]?.rule === "query.unknown",
  );
});
