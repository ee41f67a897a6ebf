import type { EventContract, Validate } from "../../contract/index.ts";
import type { EventSchemas, Schema } from "../../contract/schema/index.ts";
import type { AttributePrefix } from "../attributes.ts";
import type { Bindings, MessageObject } from "./asyncapi.ts";
import { messageBindings } from "./bindings.ts";
import { exampleHeaders, headersOfEvent } from "./headers.ts";
import type { Protocol } from "./servers.ts";

const traceCorrelation = {
  location: "$message.header#/traceparent",
  description: "The trace id in it is that of everything that has the same cause.",
};

/** What request and reply have in common. */
export const requestCorrelation = {
  location: "$message.header#/trunkline-correlation-id",
  description: "A reply has that of its request.",
};

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
 * @param isOwn whether the service publishes it, and handles none of others
 * @param isRequest whether somebody replies to it
 * @param validate the contract's rules, where it has any
 */
export function messageObject(
  event: EventContract,
  isOwn: boolean,
  isRequest: boolean,
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
    headers: spelled(context, (prefix, common) => headersOfEvent(event, prefix, common, own, isRequest)),
    payload,
    correlationId: isRequest ? requestCorrelation : traceCorrelation,
    ...(packageName === "" ? {} : { tags: [{ name: packageName }] }),
    ...(Object.keys(bindings).length > 0 ? { bindings } : {}),
    ...(examples.length > 0 ? { examples } : {}),
  };
}

function descriptionOf({ typeName, version, keyPath }: EventContract, contentType: string): string {
  const sentences = [`A message \`${typeName}\`${version === 0 ? "" : `, version ${version} of its schema`}.`];
  if (keyPath !== undefined) sentences.push(`Its key is \`${keyPath}\`, by which brokers keep order where they can.`);
  if (contentType !== "application/json") {
    sentences.push("The body is its binary encoding; the payload shown here is its JSON, which is understood as well.");
  }
  return sentences.join(" ");
}

/** Headers in each way of spelling them that the document needs. */
export function spelled(
  { headers }: MessageContext,
  make: (prefix: AttributePrefix, common: Schema) => Schema,
): Schema {
  const spellings = [...headers].map(([prefix, common]) => make(prefix, common));
  const [only, other] = spellings;
  return other === undefined ? (only as Schema) : { type: "object", anyOf: spellings };
}

function examplesOf(
  event: EventContract,
  payload: Schema,
  source: string | undefined,
  validate: Validate | undefined,
  { schemas, contentType, headers }: MessageContext,
): NonNullable<MessageObject["examples"]> {
  const example = exampleOf(event, payload, validate, schemas);
  if (example === undefined) return [];
  const key = event.keyOf(example.message);
  return [...headers.keys()].map(prefix => ({
    headers: Object.fromEntries(
      exampleHeaders(prefix, { type: event.type, source: source ?? "/example", contentType, key }),
    ),
    payload: example.payload,
  }));
}

/** An example that readers would take, as it is written; none where the rules are beyond what can be guessed. */
export function exampleOf(
  { json }: Pick<EventContract, "json">,
  payload: Schema,
  validate: Validate | undefined,
  schemas: EventSchemas,
): { readonly message: object; readonly payload: unknown } | undefined {
  try {
    const message = json.decode(JSON.stringify(schemas.example(payload)));
    if ((validate?.(message).length ?? 0) > 0) return undefined;
    return { message, payload: JSON.parse(json.encode(message)) };
  } catch {
    // What was guessed is no such message, for example because an Any in it has no type.
    return undefined;
  }
}
