import type { EventContract, Validate } from "../../contract/index.ts";
import type { EventSchemas, Schema } from "../../contract/schema/index.ts";
import type { AttributePrefix } from "../attributes.ts";
import type { Bindings, MessageObject } from "./asyncapi.ts";
import { messageBindings } from "./bindings.ts";
import { exampleHeaders, headersOfEvent } from "./headers.ts";
import type { Protocol } from "./servers.ts";

/** What all messages of a document share. */
export interface MessageContext {
  readonly schemas: EventSchemas;
  /** How the service writes bodies. */
  readonly contentType: string;
  /** Of the service, where it is known. */
  readonly source: string | undefined;
  readonly protocols: ReadonlySet<Protocol>;
  /** The common headers for each way of spelling them. */
  readonly headers: ReadonlyMap<AttributePrefix, Schema>;
}

/**
 * An event as a message of the document.
 * @param isOwn whether all of them are the service's
 * @param validate the contract's rules, where it has any
 */
export function messageObject(
  event: EventContract,
  isOwn: boolean,
  validate: Validate | undefined,
  context: MessageContext,
): MessageObject {
  const { type, desc } = event;
  const { schemas, contentType, source, protocols } = context;
  const payload = schemas.message(desc);
  const own = isOwn ? source : undefined;
  const packageName = desc.file.proto.package;
  const bindings: Bindings = messageBindings(event, protocols);
  const examples = examplesOf(event, payload, own, validate, context);
  return {
    name: type,
    title: desc.name,
    description: descriptionOf(event, contentType),
    contentType,
    headers: headersIn(event, own, context.headers),
    payload,
    correlationId: {
      location: "$message.header#/traceparent",
      description: "The trace id in it is that of everything that has the same cause.",
    },
    ...(packageName === "" ? {} : { tags: [{ name: packageName }] }),
    ...(Object.keys(bindings).length > 0 ? { bindings } : {}),
    ...(examples.length > 0 ? { examples } : {}),
  };
}

function descriptionOf({ typeName, version, keyPath }: EventContract, contentType: string): string {
  const sentences = [`A message \`${typeName}\`${version === 0 ? "" : `, version ${version} of its schema`}.`];
  if (keyPath !== undefined) sentences.push(`Events of one \`${keyPath}\` keep their order.`);
  if (contentType !== "application/json") {
    sentences.push("The body is its binary encoding; the payload shown here is its JSON, which is understood as well.");
  }
  return sentences.join(" ");
}

function headersIn(event: EventContract, source: string | undefined, headers: MessageContext["headers"]): Schema {
  const spellings = [...headers].map(([prefix, common]) => headersOfEvent(event, prefix, common, source));
  const [only, other] = spellings;
  return other === undefined ? (only as Schema) : { type: "object", anyOf: spellings };
}

/** An example that consumers would take, written as publishers write it; none where the rules are beyond what can be guessed. */
function examplesOf(
  event: EventContract,
  payload: Schema,
  source: string | undefined,
  validate: Validate | undefined,
  { schemas, contentType, headers }: MessageContext,
): NonNullable<MessageObject["examples"]> {
  let message: object;
  let text: string;
  try {
    message = event.json.decode(JSON.stringify(schemas.example(payload)));
    text = event.json.encode(message);
    if ((validate?.(message).length ?? 0) > 0) return [];
  } catch {
    // What was guessed is no such message, for example because an Any in it has no type.
    return [];
  }
  const key = event.keyOf(message);
  return [...headers.keys()].map(prefix => ({
    headers: Object.fromEntries(
      exampleHeaders(prefix, { type: event.type, source: source ?? "/example", contentType, key }),
    ),
    payload: JSON.parse(text) as unknown,
  }));
}
