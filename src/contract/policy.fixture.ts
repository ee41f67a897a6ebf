import { create, createFileRegistry, type DescService, type MessageInitShape, setExtension } from "@bufbuild/protobuf";
import {
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  file_google_protobuf_wrappers,
  MethodOptions_IdempotencyLevel,
  MethodOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { MethodPolicySchema, policy } from "./gen/trunkline/v1/options_pb.ts";

/** A method as its .proto file would have it. */
export interface PolicyMethod {
  readonly policy?: MessageInitShape<typeof MethodPolicySchema>;
  /** `false`: without an `idempotency_level`. @default true */
  readonly isIdempotent?: boolean;
  readonly serverStreaming?: boolean;
}

/** A service over messages of one string. @param methods by their names in the .proto file */
export function serviceWithPolicies(name: string, methods: Readonly<Record<string, PolicyMethod>>): DescService {
  const wrapper = ".google.protobuf.StringValue";
  const file = create(FileDescriptorProtoSchema, {
    name: `${name}.proto`,
    package: name,
    syntax: "proto3",
    dependency: ["google/protobuf/wrappers.proto"],
    service: [
      {
        name: "TextService",
        method: Object.entries(methods).map(([method, { isIdempotent = true, serverStreaming = false, ...given }]) => {
          const options = create(MethodOptionsSchema);
          if (isIdempotent) options.idempotencyLevel = MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS;
          if (given.policy !== undefined) setExtension(options, policy, create(MethodPolicySchema, given.policy));
          return { name: method, inputType: wrapper, outputType: wrapper, serverStreaming, options };
        }),
      },
    ],
  });
  const set = create(FileDescriptorSetSchema, { file: [file_google_protobuf_wrappers.proto, file] });
  return createFileRegistry(set).getService(`${name}.TextService`) as DescService;
}

/** Milliseconds as a `google.protobuf.Duration`. */
export function duration(ms: number): { seconds: bigint; nanos: number } {
  const seconds = Math.trunc(ms / 1_000);
  return { seconds: BigInt(seconds), nanos: Math.round((ms - seconds * 1_000) * 1e6) };
}
