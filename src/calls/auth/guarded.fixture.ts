import { create, createFileRegistry, type DescService, type Message, setExtension } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  type MethodOptions,
  MethodOptionsSchema,
  type ServiceOptions,
  ServiceOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { http } from "../../contract/gen/google/api/annotations_pb.ts";
import { HttpRuleSchema } from "../../contract/gen/google/api/http_pb.ts";
import { AuthRuleSchema, auth, service_auth } from "../../contract/gen/trunkline/v1/options_pb.ts";
import type { CallOptions } from "../rpc/index.ts";

export type Text = Message & { value: string };
export type TextInit = { value: string };

/** A service with each kind of method that need a caller, one that needs a scope, one that is open, one that is silent. */
export interface GuardedClient {
  one(request: TextInit, options?: CallOptions): Promise<Text>;
  many(request: TextInit, options?: CallOptions): AsyncIterable<Text>;
  gather(requests: AsyncIterable<TextInit>, options?: CallOptions): Promise<Text>;
  chat(requests: AsyncIterable<TextInit>, options?: CallOptions): AsyncIterable<Text>;
  write(request: TextInit, options?: CallOptions): Promise<Text>;
  open(request: TextInit, options?: CallOptions): Promise<Text>;
  silent(request: TextInit, options?: CallOptions): Promise<Text>;
}

interface Rule {
  readonly required?: boolean;
  readonly scopes?: string[];
}

function methodOptions(path: string, rule: Rule | undefined): MethodOptions {
  const options = create(MethodOptionsSchema, { idempotencyLevel: 1 });
  const binding = create(HttpRuleSchema, { pattern: { case: "post", value: path }, body: "*" });
  setExtension(options, http, binding);
  if (rule !== undefined) setExtension(options, auth, create(AuthRuleSchema, rule));
  return options;
}

function serviceOptions(rule: Rule | undefined): ServiceOptions | undefined {
  if (rule === undefined) return undefined;
  const options = create(ServiceOptionsSchema);
  setExtension(options, service_auth, create(AuthRuleSchema, rule));
  return options;
}

/** A service over messages of one string. @param rules of its methods, by their names in the .proto file */
export function serviceWith(
  name: string,
  rules: Readonly<Record<string, Rule | undefined>>,
  ofService?: Rule | undefined,
): DescService {
  const wrapper = ".google.protobuf.StringValue";
  const options = serviceOptions(ofService);
  const file = create(FileDescriptorProtoSchema, {
    name: `${name}.proto`,
    package: name,
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "TextService",
        ...(options === undefined ? {} : { options }),
        method: Object.entries(rules).map(([method, rule]) => ({
          name: method,
          inputType: wrapper,
          outputType: wrapper,
          clientStreaming: method === "Gather" || method === "Chat",
          serverStreaming: method === "Many" || method === "Chat",
          options: methodOptions(`/${name}/${method.toLowerCase()}`, rule),
        })),
      },
    ],
  });
  const set = create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, file] });
  return createFileRegistry(set).getService(`${name}.TextService`) as DescService;
}

const required: Rule = { required: true };

export const GuardedService = serviceWith("guarded", {
  One: required,
  Many: required,
  Gather: required,
  Chat: required,
  Write: { scopes: ["text.write", "text.read"] },
  Open: { required: false },
  Silent: undefined,
});
