import type { DescMessage } from "@bufbuild/protobuf";
import {
  binaryCodec,
  compileEvent,
  type EventContract,
  eventDialect,
  isEvent,
  jsonCodec,
  registryOf,
} from "../../contract/index.ts";

/**
 * What a reply is written and read by. It may be any message, because it goes to the one who asked and to nobody else: a
 * topic, a type and a key would say nothing of it.
 */
export type ReplyContract = Pick<EventContract, "typeName" | "binary" | "json" | "desc">;

const contracts = new WeakMap<DescMessage, ReplyContract>();

/** The compiled view of a message as a reply, the same object for the same descriptor. */
export function replyContract(desc: DescMessage): ReplyContract {
  let contract = contracts.get(desc);
  if (contract === undefined) {
    contract = isEvent(desc) ? compileEvent(desc) : compile(desc);
    contracts.set(desc, contract);
  }
  return contract;
}

function compile(desc: DescMessage): ReplyContract {
  return {
    typeName: desc.typeName,
    binary: binaryCodec(desc),
    json: jsonCodec(desc, { dialect: eventDialect, unknownFields: "ignore", registry: registryOf(desc.file) }),
    desc,
  };
}
