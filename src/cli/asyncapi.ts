import type { DescFile } from "@bufbuild/protobuf";
import type { EventContract } from "../contract/index.ts";
import type { GroupEvents } from "../events/asyncapi/documented-events.ts";
import { type Command, CommandError, type CommandInput, type Terminal, UsageError } from "./command.ts";
import { outputOptions, writeDocument } from "./document-output.ts";

export const asyncapi: Command = {
  name: "asyncapi",
  summary: "Print the AsyncAPI 3.0 document of events.",
  usage: "<contract…>",
  description: [
    "The document is what a server has at /asyncapi.json that publishes and handles these events. A contract is",
    "  a folder of .proto files (where their imports begin; needs the package @bufbuild/buf),",
    "  a file with a descriptor set, as `buf build -o contract.binpb` writes it; - reads one from the standard input,",
    "  a module (.js, .mjs, .ts) that exports messages, such as generated code,",
    "  or the http:// or https:// address of a running server with gRPC reflection.",
    "Without --publishes and --handles all events of the contract are published. An event is named by its type, as in",
    "order.created, with its topic where that is not enough, as in orders/order.created, or by its message.",
  ].join("\n"),
  options: {
    publishes: {
      value: "event",
      isMultiple: true,
      help: "An event that the service publishes; repeat it for several.",
    },
    handles: {
      value: "group=event",
      isMultiple: true,
      help: "What a group handles, several events with commas; repeat it for several groups.",
    },
    server: {
      value: "name=url",
      isMultiple: true,
      help: "A broker, by the URL of connectBroker; who logs in is not shown (default: none).",
    },
    title: { value: "text", help: "Title of the API (default: Events)." },
    version: { value: "text", help: "Version of the API (default: 1.0.0)." },
    description: { value: "text", help: "Description of the API." },
    ...outputOptions,
  },
  examples: [
    "trunkline asyncapi proto --publishes order.created --handles billing=payment.done --title Orders --output asyncapi.json",
    "trunkline asyncapi gen/order/events_pb.ts --server production=kafka://kafka.example.com:9092?tls=true",
  ],
  run: runAsyncApi,
};

async function runAsyncApi(input: CommandInput, terminal: Terminal): Promise<void> {
  if (input.arguments.length === 0) throw new UsageError("name a contract: a folder, a file, - or an address");
  const servers = Object.fromEntries(input.all("server").map(text => pairOf(text, "server", "name=url")));
  const handled = input.all("handles").map(text => pairOf(text, "handles", "group=event"));
  // Loaded only here, so that --help and the other commands start without the contract's machinery.
  const [
    { loadFiles },
    { EventCatalog },
    { ContractError },
    { BrokerError },
    { checkedAsyncApi },
    { asyncapiDocument },
  ] = await Promise.all([
    import("./contract-source.ts"),
    import("../events/runtime/catalog.ts"),
    import("../contract/index.ts"),
    import("../events/errors.ts"),
    import("../events/asyncapi/index.ts"),
    import("../events/asyncapi/document.ts"),
  ]);
  const files: DescFile[] = [];
  for (const source of input.arguments) files.push(...(await loadFiles(source, terminal)));
  try {
    const catalog = new EventCatalog();
    for (const file of files) catalog.learn(file);
    const events = [...catalog.events()];
    if (events.length === 0) {
      throw new CommandError(
        `there is no event in ${input.arguments.join(", ")}; events are messages with option (trunkline.v1.event)`,
      );
    }
    const subscriptions = handled.map(([group, names]): GroupEvents => {
      return { group, events: names.split(",").map(name => eventNamed(name, events)), queue: undefined };
    });
    const named = input.all("publishes").map(name => eventNamed(name, events));
    const published = named.length === 0 && handled.length === 0 ? events : named;
    const checked = checkedAsyncApi({
      publishes: published.map(({ desc }) => desc),
      servers,
      title: input.one("title"),
      version: input.one("version"),
      description: input.one("description"),
    });
    writeDocument(await asyncapiDocument(checked, { subscriptions }), input, terminal);
  } catch (error) {
    if (!(error instanceof ContractError || error instanceof BrokerError)) throw error;
    throw new CommandError(error.message, { cause: error });
  }
}

/** @throws UsageError */
function pairOf(text: string, option: string, shape: string): readonly [string, string] {
  const [, name, value] = /^([A-Za-z0-9._-]+)=(.+)$/.exec(text) ?? [];
  // It may be a URL with a password, so that it is not repeated.
  if (name === undefined || value === undefined) throw new UsageError(`--${option} must be ${shape}`);
  return [name, value];
}

/** @throws CommandError when there is none of this name, or more than one */
function eventNamed(name: string, events: readonly EventContract[]): EventContract {
  const found = events.filter(({ topic, type, typeName }) =>
    [type, `${topic}/${type}`, typeName].includes(name.trim()),
  );
  const [event, another] = found;
  if (event === undefined) {
    const all = events.map(({ topic, type }) => `${topic}/${type}`);
    throw new CommandError(`no contract has the event "${name}"; they have ${all.join(", ")}`);
  }
  if (another !== undefined) {
    throw new CommandError(`"${name}" is several events; choose ${found.map(({ typeName }) => typeName).join(" or ")}`);
  }
  return event;
}
