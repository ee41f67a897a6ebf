import { compileEvent, type EventContract } from "../../contract/index.ts";
import type { BrokerDescription, RequestContract } from "../broker.ts";
import { BrokerError } from "../errors.ts";
import { replyContract } from "../requests/reply-contract.ts";
import type { AsyncApiOptions } from "./options.ts";
import { type DocumentedServers, documentedServers } from "./servers.ts";

/** What a document is made of, but for the subscriptions, which come and go. */
export interface CheckedAsyncApi {
  readonly publishes: readonly EventContract[];
  readonly requests: readonly RequestContract[];
  readonly servers: DocumentedServers;
  readonly title: string | undefined;
  readonly version: string;
  readonly description: string | undefined;
  /** What the broker is for at the moment; `undefined` without one. */
  readonly describe: () => BrokerDescription | undefined;
}

/**
 * @throws ContractError for a message that is no event; BrokerError for a URL or an option that means nothing
 */
export function checkedAsyncApi(options: AsyncApiOptions): CheckedAsyncApi {
  const { broker, publishes = [], requests = [], servers = {}, title, version = "1.0.0", description } = options;
  if (!Array.isArray(publishes)) {
    throw new BrokerError("asyncapi: publishes must be a list of events, as in [OrderCreatedSchema]");
  }
  if (!Array.isArray(requests) || requests.some(one => one?.request === undefined || one.reply === undefined)) {
    throw new BrokerError("asyncapi: requests must be a list such as [{ request: QuoteSchema, reply: PriceSchema }]");
  }
  if (broker !== undefined && typeof broker.describe !== "function") {
    throw new BrokerError("asyncapi: broker must be what connectBroker resolves with");
  }
  for (const [name, value] of Object.entries({ title, version, description })) {
    if (value !== undefined && typeof value !== "string") {
      throw new BrokerError(`asyncapi: ${name} is a ${typeof value}; it must be a text`);
    }
  }
  return {
    publishes: publishes.map(compileEvent),
    requests: requests.map(({ request, reply }) => ({ request: compileEvent(request), reply: replyContract(reply) })),
    servers: documentedServers(servers),
    title,
    version,
    description,
    describe: () => broker?.describe(),
  };
}
