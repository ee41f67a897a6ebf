import {
  clone,
  create,
  createFileRegistry,
  type DescFile,
  type DescMessage,
  type MessageInitShape,
  setExtension,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import { EventRuleSchema, event as eventOption } from "../../contract/gen/trunkline/v1/options_pb.ts";

type EventRule = MessageInitShape<typeof EventRuleSchema>;

/** A message of some contract as an event: the same contract with the option. */
export function asEvent(desc: DescMessage, rule: EventRule): DescMessage {
  const files = new Map<string, DescFile["proto"]>();
  const collect = ({ proto, dependencies }: DescFile): void => {
    for (const dependency of dependencies) collect(dependency);
    files.set(proto.name, proto);
  };
  collect(desc.file);
  const file = clone(FileDescriptorProtoSchema, desc.file.proto);
  const message = file.messageType.find(({ name }) => name === desc.name);
  if (message === undefined) throw new Error(`${desc.name} is not among the messages of its file`);
  message.options ??= create(MessageOptionsSchema);
  setExtension(message.options, eventOption, create(EventRuleSchema, rule));
  files.delete(file.name);
  return messageOf([...files.values(), file], desc.typeName);
}

/** `message <name> { string id = 1; <name> cause = 2; repeated int64 <fields…> = 3…; }` */
export function simpleEvent(
  packageName: string,
  name: string,
  rule: EventRule,
  fields: readonly string[] = [],
): DescMessage {
  const { STRING, MESSAGE, INT64 } = FieldDescriptorProto_Type;
  const { OPTIONAL, REPEATED } = FieldDescriptorProto_Label;
  const options = create(MessageOptionsSchema);
  setExtension(options, eventOption, create(EventRuleSchema, rule));
  const typeName = packageName === "" ? name : `${packageName}.${name}`;
  const field = [
    { name: "id", number: 1, type: STRING, label: OPTIONAL },
    { name: "cause", number: 2, type: MESSAGE, typeName: `.${typeName}`, label: OPTIONAL },
    ...fields.map((one, index) => ({ name: one, number: index + 3, type: INT64, label: REPEATED })),
  ];
  const file = create(FileDescriptorProtoSchema, {
    name: `${typeName}.proto`,
    package: packageName,
    syntax: "proto3",
    messageType: [{ name, options, field }],
  });
  return messageOf([file], typeName);
}

function messageOf(file: DescFile["proto"][], typeName: string): DescMessage {
  const found = createFileRegistry(create(FileDescriptorSetSchema, { file })).getMessage(typeName);
  if (found === undefined) throw new Error(`there is no ${typeName}`);
  return found;
}
