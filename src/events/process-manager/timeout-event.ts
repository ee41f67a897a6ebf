import { create, createFileRegistry, type Message, setExtension } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { EventRuleSchema, event as eventOption } from "../../contract/gen/trunkline/v1/options_pb.ts";

/** A time-out on its way through the outbox and the broker: an event of the process, kept back until it is due. */
export type TimeoutMessage = Message<"trunkline.process.Timeout"> & {
  instance: string;
  /** Which of the process's time-outs. */
  name: string;
  /** Of the instance when it was started. */
  version: bigint;
  /** Milliseconds since 1970-01-01 UTC. */
  dueAt: bigint;
};

const { STRING, UINT64, INT64 } = FieldDescriptorProto_Type;
const label = FieldDescriptorProto_Label.OPTIONAL;

/** The contract of a process's time-outs. Made at run time, because each process has its own topic: `<process>.timeouts`. */
export function timeoutSchema(process: string): GenMessage<TimeoutMessage> {
  const options = create(MessageOptionsSchema);
  const rule = { topic: `${process}.timeouts`, type: "process.timeout", key: "instance", version: 1 };
  setExtension(options, eventOption, create(EventRuleSchema, rule));
  const file = create(FileDescriptorProtoSchema, {
    name: `trunkline/process/${process}.proto`,
    package: "trunkline.process",
    syntax: "proto3",
    messageType: [
      {
        name: "Timeout",
        options,
        field: [
          { name: "instance", number: 1, type: STRING, label },
          { name: "name", number: 2, type: STRING, label },
          { name: "version", number: 3, type: UINT64, label },
          { name: "due_at", number: 4, type: INT64, label },
        ],
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getMessage("trunkline.process.Timeout") as GenMessage<TimeoutMessage>;
}
