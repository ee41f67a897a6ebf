import type { DeadLetterEdit } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "../command.ts";
import { assignments } from "../option-values.ts";
import { printableJson } from "../printable.ts";
import { letterLine, letterView } from "./letter-view.ts";

export const edit: Command = {
  name: "dead-letters edit",
  summary: "Correct the type, key or headers of a dead letter before it is replayed.",
  usage: "<id>",
  description: "The body stays as it came. The id may be another one afterwards; it is shown.",
  options: {
    ...brokerOptions,
    group: { short: "g", value: "group", help: "The group, where the broker has to look through many." },
    type: { short: "t", value: "type", help: "The new type." },
    key: { short: "k", value: "key", help: "The new key." },
    header: { short: "H", value: "name=value", isMultiple: true, help: "Set a header; repeat it for several." },
    "remove-header": { value: "name", isMultiple: true, help: "Take a header away; repeat it for several." },
    json: { help: "The corrected dead letter as a JSON object." },
  },
  examples: [
    "trunkline dead-letters edit 0198c0de-0000-7000-8000-000000000001 --type order.created",
    "trunkline dead-letters edit 0198c0de-0000-7000-8000-000000000001 --header tenant=acme --remove-header debug",
  ],
  run: runEdit,
};

async function runEdit(input: CommandInput, terminal: Terminal): Promise<void> {
  const [id, ...more] = input.arguments;
  if (id === undefined || more.length > 0) throw new UsageError("name the id of one dead letter");
  const change = await changeOf(input);
  await withBroker(input, terminal, { createTopics: false }, async broker => {
    for await (const letter of broker.deadLetters({ group: input.one("group"), letterIds: [id], limit: 1 })) {
      const edited = await letter.edit(change);
      const text = input.one("json") === undefined ? letterLine(edited) : printableJson(letterView(edited));
      await terminal.out(`${text}\n`);
      return;
    }
    throw new CommandError(
      `there is no dead letter ${id} (any more); trunkline dead-letters list shows those that are`,
    );
  });
}

/** @throws UsageError when nothing is to be changed, or to what no event can have */
async function changeOf(input: CommandInput): Promise<DeadLetterEdit> {
  const [type, key] = [input.one("type"), input.one("key")];
  const removed = input.all("remove-header").map(name => name.toLowerCase());
  const set = assignments(input, "header");
  if (type === undefined && key === undefined && removed.length === 0 && Object.keys(set).length === 0) {
    throw new UsageError("say what to change: --type, --key, --header or --remove-header");
  }
  for (const name of removed) {
    if (Object.hasOwn(set, name)) throw new UsageError(`the header ${name} is both set and removed`);
  }
  const [{ checkedHeaders, checkedKey }, { isEventTypeName }, { PublishError }] = await Promise.all([
    import("../../events/event-writer.ts"),
    import("../../contract/index.ts"),
    import("../../events/index.ts"),
  ]);
  if (type !== undefined && !isEventTypeName(type)) {
    throw new UsageError(`--type is "${type}"; it must be 1 to 255 of A-Z a-z 0-9 . _ -`);
  }
  try {
    const headers = { ...Object.fromEntries(removed.map(name => [name, undefined])), ...checkedHeaders(set) };
    return { type, key: key === undefined ? undefined : checkedKey(key), headers };
  } catch (cause) {
    if (!(cause instanceof PublishError)) throw cause;
    throw new UsageError(cause.message.replace(/^publish: /, ""), { cause });
  }
}
