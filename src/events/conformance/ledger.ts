import { create, createFileRegistry, type DescFile, type Message, setExtension } from "@bufbuild/protobuf";
import type { GenMessage } from "@bufbuild/protobuf/codegenv2";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
  MessageOptionsSchema,
} from "@bufbuild/protobuf/wkt";
import {
  FieldRulesSchema,
  field as fieldOption,
  file_buf_validate_validate,
} from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { EventRuleSchema, event as eventOption } from "../../contract/gen/trunkline/v1/options_pb.ts";

/** The event of the cases: entries of accounts, numbered. */
export type Placed = Message<"conformance.Placed"> & {
  eventType: string;
  account: string;
  number: number;
  padding: Uint8Array;
  /** At most ten characters by the contract's rules. */
  note: string;
};

/** What an account is worth: a reply, and no event. */
export type Balance = Message<"conformance.Balance"> & {
  account: string;
  total: number;
};

/** The contract of one case, with a topic of its own: made at run time, because topics stand in contracts. */
export interface Ledger {
  readonly topic: string;
  readonly file: DescFile;
  /** `ledger.placed`, its key is the account. */
  readonly PlacedSchema: GenMessage<Placed>;
  /** `ledger.noted`, of the same shape. */
  readonly NotedSchema: GenMessage<Placed>;
  readonly BalanceSchema: GenMessage<Balance>;
}

const { STRING, INT32, BYTES } = FieldDescriptorProto_Type;
const { OPTIONAL } = FieldDescriptorProto_Label;

/** @param number the type of the field `number`; as text it makes events that the ordinary contract cannot read */
export function ledger(topic: string, number: "int32" | "string" = "int32", types = ["placed", "noted"]): Ledger {
  const noteRules = create(FieldOptionsSchema);
  const rules = create(FieldRulesSchema, { type: { case: "string", value: { maxLen: 10n } } });
  setExtension(noteRules, fieldOption, rules);
  const message = (name: string, type: string) => {
    const options = create(MessageOptionsSchema);
    setExtension(options, eventOption, create(EventRuleSchema, { topic, type: `ledger.${type}`, key: "account" }));
    return {
      name,
      options,
      field: [
        { name: "event_type", number: 1, type: STRING, label: OPTIONAL },
        { name: "account", number: 2, type: STRING, label: OPTIONAL },
        { name: "number", number: 3, type: number === "int32" ? INT32 : STRING, label: OPTIONAL },
        { name: "padding", number: 4, type: BYTES, label: OPTIONAL },
        { name: "note", number: 5, type: STRING, label: OPTIONAL, options: noteRules },
      ],
    };
  };
  const [placed = "placed", noted = "noted"] = types;
  const balance = {
    name: "Balance",
    field: [
      { name: "account", number: 1, type: STRING, label: OPTIONAL },
      { name: "total", number: 2, type: INT32, label: OPTIONAL },
    ],
  };
  const file = create(FileDescriptorProtoSchema, {
    name: "conformance/ledger.proto",
    package: "conformance",
    syntax: "proto3",
    dependency: ["buf/validate/validate.proto"],
    messageType: [message("Placed", placed), message("Noted", noted), balance],
  });
  const imports: DescFile[] = [file_buf_validate_validate, ...file_buf_validate_validate.dependencies];
  const files = [...imports.map(({ proto }) => proto).toReversed(), file];
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: files }));
  return {
    topic,
    file: registry.getFile("conformance/ledger.proto") as DescFile,
    PlacedSchema: registry.getMessage("conformance.Placed") as GenMessage<Placed>,
    NotedSchema: registry.getMessage("conformance.Noted") as GenMessage<Placed>,
    BalanceSchema: registry.getMessage("conformance.Balance") as GenMessage<Balance>,
  };
}
