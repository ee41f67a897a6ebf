import { existsSync } from "node:fs";
import { resolve } from "node:path";
import type { Broker, BrokerOptions } from "../events/index.ts";
import { CommandError, type CommandInput, type OptionRule, type Terminal, UsageError } from "./command.ts";
import { printable } from "./printable.ts";

/** The options of every command that talks to a broker. */
export const brokerOptions = {
  broker: {
    short: "b",
    value: "url",
    help: "The broker, as in sqlite:./events.db, amqp://host, kafka://host (default: the variable EVENTS_URL).",
  },
} as const satisfies Readonly<Record<string, OptionRule>>;

/**
 * Runs `use` with the broker that the options or the environment name, and closes it.
 * @throws UsageError when neither names one; CommandError for what the broker refuses
 */
export async function withBroker(
  input: CommandInput,
  terminal: Terminal,
  options: BrokerOptions,
  use: (broker: Broker) => Promise<void>,
): Promise<void> {
  const given = input.one("broker") ?? terminal.environment.EVENTS_URL;
  if (given === undefined || given === "") {
    throw new UsageError("name a broker: --broker sqlite:./events.db, or the variable EVENTS_URL");
  }
  const url = withWholePath(given, terminal.folder, options.createTopics === true);
  const [{ BrokerError, connectBroker, PublishError }, { CodecError, ContractError }] = await Promise.all([
    import("../events/index.ts"),
    import("../contract/index.ts"),
  ]);
  const known = [BrokerError, PublishError, CodecError, ContractError];
  try {
    const broker = await connectBroker(url, { ...options, platform: terminal.platform });
    await use(broker).finally(() => broker.close());
  } catch (cause) {
    if (!known.some(kind => cause instanceof kind)) throw cause;
    throw new CommandError(printable((cause as Error).message), { cause });
  }
}

/** A path means what it means to the user; only a command that may make topics makes the file of an embedded broker. */
function withWholePath(url: string, folder: string, mayCreate: boolean): string {
  const match = /^sqlite:([^?/][^?]*)(.*)$/s.exec(url);
  const path = match === null ? /^sqlite:(?:\/\/)?(\/[^?]*)/.exec(url)?.[1] : resolve(folder, match[1] as string);
  if (path === undefined || path.endsWith(":memory:")) return url;
  // A mistyped path would be an empty broker otherwise, where nothing is wrong and nothing is found.
  if (!mayCreate && !existsSync(decoded(path))) {
    throw new CommandError(`there is no file ${printable(decoded(path))}; name that of the services`);
  }
  return match === null ? url : `sqlite:${path}${match[2]}`;
}

/** The file of a path in a URL; the broker says what is wrong with it where something is. */
function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}
