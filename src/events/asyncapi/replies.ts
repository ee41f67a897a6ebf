import type { Validate } from "../../contract/index.ts";
import type { ReplyContract } from "../requests/index.ts";
import { errorHeader } from "../requests/reply-error.ts";
import type { ChannelObject, MessageObject, OperationObject, Reference } from "./asyncapi.ts";
import { headersOfReply } from "./headers.ts";
import { exampleOf, type MessageContext, requestCorrelation, spelled } from "./message.ts";
import { referenceTo } from "./pointer.ts";
import { uniqueName } from "./unique-name.ts";

/** Where a request says that its reply is awaited. */
const addressHeader = "trunkline-reply-to";

/**
 * The replies of a document: messages of one channel without an address of its own, because each requester has another, which it
 * names in its request.
 */
export class DocumentedReplies {
  /** By the name of the message. */
  readonly all: readonly ReplyContract[];
  readonly channelName: string;
  readonly #isTaken: (name: string) => boolean;

  /** @param isTaken whether there is an event of this name among the components */
  constructor(replies: readonly ReplyContract[], topics: readonly string[], isTaken: (name: string) => boolean) {
    const found = new Map(replies.map(reply => [reply.typeName, reply]));
    this.all = [...found.keys()].sort().map(name => found.get(name) as ReplyContract);
    this.channelName = uniqueName("replies", name => topics.includes(name));
    this.#isTaken = isTaken;
  }

  get channel(): ChannelObject {
    const names = [...this.all.map(({ typeName }) => typeName), errorName];
    return {
      address: null,
      description: "Replies to requests. Each requester awaits them somewhere else, and says where in its request.",
      messages: Object.fromEntries(
        names.map(name => [name, referenceTo("components", "messages", this.#componentName(name))] as const),
      ),
    };
  }

  /** What an operation with a request says of its reply. */
  replyTo({ typeName }: ReplyContract): NonNullable<OperationObject["reply"]> {
    return {
      address: {
        location: `$message.header#/${addressHeader}`,
        description: "A reply without an address is not sent.",
      },
      channel: referenceTo("channels", this.channelName),
      messages: [this.#reference(typeName), this.#reference(errorName)],
    };
  }

  async messages(
    context: MessageContext,
    rulesOf: (reply: ReplyContract) => Promise<Validate | undefined>,
  ): Promise<readonly (readonly [name: string, message: MessageObject])[]> {
    const messages: (readonly [string, MessageObject])[] = [];
    for (const reply of this.all) {
      messages.push([this.#componentName(reply.typeName), await replyObject(reply, context, rulesOf)]);
    }
    return [...messages, [this.#componentName(errorName), errorObject(context)]];
  }

  #reference(name: string): Reference {
    return referenceTo("channels", this.channelName, "messages", name);
  }

  #componentName(typeName: string): string {
    return uniqueName(`${typeName}.reply`, this.#isTaken);
  }
}

/** No message of a contract is called like this: it has a hyphen. */
const errorName = "request-error";

async function replyObject(
  reply: ReplyContract,
  context: MessageContext,
  rulesOf: (reply: ReplyContract) => Promise<Validate | undefined>,
): Promise<MessageObject> {
  const { desc, typeName } = reply;
  const { schemas, contentType } = context;
  const payload = schemas.message(desc);
  const example = exampleOf(reply, payload, await rulesOf(reply), schemas);
  return {
    name: typeName,
    title: desc.name,
    description: `A reply: a message \`${typeName}\`.`,
    contentType,
    headers: spelled(context, (prefix, common) => headersOfReply(typeName, prefix, common)),
    payload,
    correlationId: requestCorrelation,
    ...(example === undefined ? {} : { examples: [{ payload: example.payload }] }),
  };
}

/** An error is a reply without a body. */
function errorObject(context: MessageContext): MessageObject {
  const text = { type: "string" } as const;
  return {
    name: "google.rpc.Status",
    title: "Error",
    description: "Why there is no reply. It has no body; the headers say all.",
    contentType: context.contentType,
    headers: spelled(context, (prefix, common) => {
      const { properties, ...headers } = headersOfReply("google.rpc.Status", prefix, common);
      return {
        ...headers,
        properties: {
          ...properties,
          [errorHeader.code]: { ...text, description: "A canonical code, for example not_found." },
          [errorHeader.message]: { ...text, description: "For people." },
          [errorHeader.details]: {
            ...text,
            contentEncoding: "base64",
            description: "A google.rpc.Status with details.",
          },
          [errorHeader.retryAfterMs]: {
            ...text,
            description: "When to ask again, in milliseconds; negative: not at all.",
          },
        },
        required: [errorHeader.code],
      };
    }),
    correlationId: requestCorrelation,
  };
}
