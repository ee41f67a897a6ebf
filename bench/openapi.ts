// How long the OpenAPI document of a large contract takes, the first time, when everything is compiled from nothing:
//     node --conditions=trunkline-source bench/openapi.ts [methods]
import { create, createFileRegistry, type DescService, setExtension } from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_descriptor,
  file_google_protobuf_duration,
  file_google_protobuf_field_mask,
  file_google_protobuf_timestamp,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import {
  FieldRulesSchema,
  field,
  file_buf_validate_validate,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { RestRoutes } from "../src/calls/rest/index.ts";
import { openApiDocument } from "../src/calls/rest/openapi/document.ts";
import { file_google_api_annotations, http } from "../src/contract/gen/google/api/annotations_pb.ts";
import { file_google_api_http, HttpRuleSchema } from "../src/contract/gen/google/api/http_pb.ts";
import { compileService } from "../src/contract/index.ts";

const methodsEach = 50;
const { STRING, INT32, MESSAGE } = FieldDescriptorProto_Type;
const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;

/** Services of fifty methods: each has messages of its own, which share others, and two routes, one with a body. */
function syntheticServices(methods: number): readonly DescService[] {
  const names = Array.from({ length: methods }, (_, index) => `Thing${index}`);
  const rule = create(FieldOptionsSchema);
  setExtension(rule, field, create(FieldRulesSchema, { type: { case: "string", value: { maxLen: 100n } } }));
  const text = (name: string, number: number) => ({
    name,
    number,
    type: STRING,
    label: OPTIONAL,
    jsonName: name,
    options: rule,
  });
  const message = (name: string, number: number, typeName: string, label = OPTIONAL) => ({
    name,
    number,
    type: MESSAGE,
    label,
    typeName,
    jsonName: name,
  });
  const messageType = names.flatMap((name, index) => [
    {
      name: `${name}Request`,
      field: [
        text("id", 1),
        text("filter", 2),
        { name: "size", number: 3, type: INT32, label: OPTIONAL, jsonName: "size" },
        message("body", 4, `.big.${name}`),
      ],
    },
    {
      name,
      field: [
        ...Array.from({ length: 8 }, (_, at) => text(`field${at}`, at + 1)),
        message("others", 20, `.big.Thing${(index * 7) % methods}`, REPEATED),
        message("next", 21, `.big.Thing${(index + 1) % methods}`),
      ],
    },
  ]);
  const service = Array.from({ length: Math.ceil(methods / methodsEach) }, (_, index) => ({
    name: `Service${index}`,
    method: names.slice(index * methodsEach, (index + 1) * methodsEach).map(name => {
      const path = `/v1/${name.toLowerCase()}/{id}`;
      const options = create(MethodOptionsSchema);
      setExtension(
        options,
        http,
        create(HttpRuleSchema, {
          pattern: { case: "get", value: path },
          additionalBindings: [{ pattern: { case: "put", value: path }, body: "body" }],
        }),
      );
      return { name: `Do${name}`, inputType: `.big.${name}Request`, outputType: `.big.${name}`, options };
    }),
  }));
  const file = create(FileDescriptorProtoSchema, {
    name: "big.proto",
    package: "big",
    syntax: "proto3",
    dependency: ["google/api/annotations.proto", "buf/validate/validate.proto"],
    messageType,
    service,
  });
  const imports = [
    file_google_protobuf_descriptor,
    file_google_protobuf_duration,
    file_google_protobuf_timestamp,
    file_google_protobuf_field_mask,
    file_google_api_http,
    file_google_api_annotations,
    file_buf_validate_validate,
  ];
  const registry = createFileRegistry(
    create(FileDescriptorSetSchema, { file: [...imports.map(({ proto }) => proto), file] }),
  );
  return [...registry].filter(type => type.kind === "service");
}

const methods = Number(process.argv[2] ?? 500);
const services = syntheticServices(methods);
const startedAt = performance.now();
const routes = new RestRoutes(services.map(compileService));
const compiledAt = performance.now();
const document = openApiDocument(routes.all);
const builtAt = performance.now();
const text = JSON.stringify(document);
const endedAt = performance.now();
const ms = (from: number, to: number) => `${(to - from).toFixed(0)} ms`;
process.stdout.write(
  `${methods} methods, ${routes.all.length} routes: contract and routes ${ms(startedAt, compiledAt)}, document ${ms(compiledAt, builtAt)}, text (${Math.round(text.length / 1024)} KiB) ${ms(builtAt, endedAt)}, together ${ms(startedAt, endedAt)}\n`,
);
