import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import type { Broker, EventRecord, PublishFailure } from "../../events/index.ts";
import { brokerOptions, withBroker } from "../broker-access.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "../command.ts";
import { bodyLine, shown } from "../event-view.ts";
import { contractOption, KnownEvents } from "../known-events.ts";
import { assignments } from "../option-values.ts";
import { printable, printableJson } from "../printable.ts";

/** Events of `--lines` that are on the way at once. */
const windowMax = 1_000;

export const publish: Command = {
  name: "events publish",
  summary: "Publish an event, or one for each line of the standard input.",
  usage: "<type>",
  description: [
    "Ends when the broker has it durably. The body is that of --body, otherwise the standard input. With a contract the body",
    "is JSON, topic and key are the contract's, and what breaks the contract is refused; a member that it does not have is a",
    "mistake here. Without one, --topic is needed, and the body goes as it is.",
  ].join("\n"),
  options: {
    ...brokerOptions,
    ...contractOption,
    topic: { value: "topic", help: "Where to publish (default: the contract's)." },
    key: { short: "k", value: "key", help: "What keeps it in order (default: the contract's key field)." },
    body: { short: "d", value: "text", help: "The body (default: the standard input)." },
    lines: { help: "Each line of the standard input is the body of one event; they go in this order." },
    id: { value: "id", help: "CloudEvents id; the same for a repeat, so that an inbox can tell (default: a new one)." },
    header: { short: "H", value: "name=value", isMultiple: true, help: "A header of your own; repeat it for several." },
    source: { value: "uri", help: "CloudEvents source (default: /trunkline-cli)." },
    "content-type": {
      value: "type",
      help: "With a contract application/json (default) or application/protobuf, otherwise whatever the body is.",
    },
    "create-topic": { help: "Make the topic, or the file of an embedded broker, if it is missing." },
    "dry-run": { help: "Show what would be published, and publish nothing." },
    json: { help: "One JSON object for each event." },
  },
  examples: [
    `trunkline events publish order.created --contract proto --body '{"order_id":"123"}'`,
    "trunkline events publish price.changed --topic prices --key product-1 < body.json",
    "trunkline events publish order.created --contract proto --lines --dry-run < orders.ndjson",
  ],
  run: runPublish,
};

async function runPublish(input: CommandInput, terminal: Terminal): Promise<void> {
  const [type, ...more] = input.arguments;
  if (type === undefined || more.length > 0) throw new UsageError("name one type, such as order.created");
  const isLines = input.one("lines") !== undefined;
  if (isLines && input.one("body") !== undefined)
    throw new UsageError("--lines reads the standard input; leave out --body");
  if (isLines && input.one("id") !== undefined) throw new UsageError("--id is of one event; leave out --lines");
  if (input.all("contract").length === 0 && input.one("topic") === undefined) {
    throw new UsageError("name the --topic, or a --contract that says it");
  }
  if (input.all("contract").includes("-") && input.one("body") === undefined) {
    throw new UsageError("the standard input cannot be both the contract and the body; give one of them otherwise");
  }
  const contentType = contentTypeOf(input);
  const headers = assignments(input, "header");
  const known = await KnownEvents.of(input, terminal);
  const options = {
    contentType: contentType === "application/protobuf" ? contentType : "application/json",
    source: input.one("source") ?? "/trunkline-cli",
    createTopics: input.one("create-topic") !== undefined,
  } as const;
  await withBroker(input, terminal, options, async broker => {
    const bodies = await bodiesOf(input, terminal);
    const write = await recordWriter(
      type,
      { contentType, headers, source: options.source },
      broker,
      known,
      input,
      terminal,
    );
    const records: EventRecord[] = [];
    for (const [index, body] of bodies.entries()) {
      records.push(await named(isLines ? `line ${index + 1}: ` : "", () => write(body)));
    }
    if (input.one("dry-run") !== undefined) {
      for (const record of records) await terminal.out(lineOf("would publish", record, input));
    } else {
      await publishAll(broker, records, input, terminal);
    }
  });
}

function contentTypeOf(input: CommandInput): string {
  const contentType = input.one("content-type") ?? "application/json";
  const needed = ["application/json", "application/protobuf"];
  if (input.all("contract").length > 0 && !needed.includes(contentType)) {
    throw new UsageError(`--content-type is "${contentType}"; with a contract it can be ${needed.join(" or ")}`);
  }
  return contentType;
}

async function bodiesOf(input: CommandInput, terminal: Terminal): Promise<readonly Uint8Array[]> {
  const given = input.one("body");
  if (given !== undefined) return [Buffer.from(given)];
  const bytes = await terminal.readInput();
  if (input.one("lines") === undefined) return [bytes];
  const bodies: Uint8Array[] = [];
  for (let start = 0; start < bytes.length; ) {
    const found = bytes.indexOf(0x0a, start);
    const end = found === -1 ? bytes.length : found;
    const line = bytes.subarray(start, bytes[end - 1] === 0x0d ? end - 1 : end);
    if (line.length > 0) bodies.push(line);
    start = end + 1;
  }
  return bodies;
}

/** Makes the record of a body, by the contract where there is one. */
async function recordWriter(
  type: string,
  raw: { readonly contentType: string; readonly headers: Readonly<Record<string, string>>; readonly source: string },
  broker: Broker,
  known: KnownEvents | undefined,
  input: CommandInput,
  { platform }: Terminal,
): Promise<(body: Uint8Array) => Promise<EventRecord> | EventRecord> {
  const options = { key: input.one("key"), id: input.one("id"), headers: raw.headers };
  const topic = input.one("topic");
  if (known !== undefined) {
    const event = known.named(type, topic);
    return async body => {
      const message = await known.fromJson(event, Buffer.from(body).toString());
      return broker.encode(event.desc, message as MessageShape<DescMessage>, options);
    };
  }
  const [{ rawRecord }, { EventIds }] = await Promise.all([
    import("../../events/raw-record.ts"),
    import("../../events/event-id.ts"),
  ]);
  const ids = new EventIds(platform);
  return body => rawRecord({ ...raw, topic: topic as string, type, body }, options, ids, platform);
}

/** Says in the message of a failure which line it is about. */
async function named<T>(where: string, work: () => Promise<T> | T): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    if (where === "" || !(cause instanceof Error)) throw cause;
    throw new CommandError(`${where}${printable(cause.message)}; nothing was published`, { cause });
  }
}

async function publishAll(
  broker: Broker,
  records: readonly EventRecord[],
  input: CommandInput,
  terminal: Terminal,
): Promise<void> {
  for (let at = 0; at < records.length && !terminal.signal.aborted; at += windowMax) {
    const batch = records.slice(at, at + windowMax);
    const failures = await broker.forward(batch);
    let failed: { readonly index: number; readonly failure: PublishFailure } | undefined;
    for (const [index, record] of batch.entries()) {
      const failure = failures[index];
      if (failure === undefined) await terminal.out(lineOf("published", record, input));
      else failed ??= { index: at + index, failure };
    }
    if (failed === undefined) continue;
    const count =
      failures.filter(failure => failure !== undefined).length + Math.max(0, records.length - at - windowMax);
    const { failure, index } = failed;
    const which =
      records.length === 1 ? "" : `${count} of ${records.length} are not published, the first is ${index + 1}: `;
    const hint = /no (topic|exchange)/.test(failure.error.message) ? "; --create-topic makes it" : "";
    throw new CommandError(`${which}${printable(failure.error.message)}${hint}`, { cause: failure.error });
  }
}

function lineOf(done: string, { id, topic, type, key, body, contentType }: EventRecord, input: CommandInput): string {
  if (input.one("json") !== undefined) return `${printableJson({ id, topic, type, key, content_type: contentType })}\n`;
  const event = `${done} ${printable(id)} on ${topic}: ${type} ${shown(key)}`;
  return input.one("dry-run") === undefined ? `${event}\n` : `${event} ${bodyLine(body, undefined)}\n`;
}
