import type { EventContract } from "../../contract/index.ts";
import type { Schema } from "../../contract/schema/index.ts";
import { type AttributePrefix, contentTypeName, headersOf, pairsOf } from "../attributes.ts";

/** What publishers of this package say beside the body, as headers of a broker. */
const described = {
  specversion: { const: "1.0", description: "The version of CloudEvents." },
  id: { type: "string", minLength: 1, maxLength: 255, description: "The same for every delivery of the event." },
  source: { type: "string", minLength: 1, format: "uri-reference", description: "Who has published it." },
  type: { type: "string", minLength: 1, description: "What happened." },
  time: { type: "string", format: "date-time", description: "When it happened." },
  subject: { type: "string", minLength: 1, description: "The key: events of one key keep their order." },
} as const satisfies Readonly<Record<string, Schema>>;

const others: Readonly<Record<string, Schema>> = {
  [contentTypeName]: { type: "string", description: "How the body is written." },
  traceparent: {
    type: "string",
    pattern: "^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$",
    description: "The trace of the work that published the event (W3C Trace Context).",
  },
  tracestate: { type: "string", description: "Beside traceparent." },
  baggage: { type: "string", description: "What goes along with the trace (W3C Baggage)." },
  "trunkline-priority": { enum: ["critical", "sheddable"], description: "Absent: as usual." },
  "trunkline-expires-at": {
    ...milliseconds(),
    description: "Not handled afterwards; milliseconds since 1970-01-01 UTC.",
  },
  "trunkline-not-before": { ...milliseconds(), description: "Not handled before; milliseconds since 1970-01-01 UTC." },
};

function milliseconds(): Schema {
  return { type: "string", pattern: "^[0-9]{1,15}$" };
}

/** The headers of any event. Publishers can add others, and foreign ones need not write any. */
export function commonHeaders(prefix: AttributePrefix): Schema {
  const attributes = Object.entries(described).map(([name, schema]) => [prefix + name, schema] as const);
  const kept = Object.entries(others).filter(([name]) => name !== contentTypeName || !isProperty(prefix));
  return {
    type: "object",
    description: `CloudEvents 1.0 in binary mode, and the trace.`,
    properties: Object.fromEntries([...attributes, ...kept]),
  };
}

/** AMQP has a property for the content type. */
function isProperty(prefix: AttributePrefix): boolean {
  return prefix === "cloudEvents_";
}

/**
 * The headers of one event.
 * @param source of the publisher, when all events are its own; they have every header then
 * @param isRequest whether somebody replies to it
 */
export function headersOfEvent(
  { type, keyPath }: EventContract,
  prefix: AttributePrefix,
  common: Schema,
  source: string | undefined,
  isRequest: boolean,
): Schema {
  const required = [...requiredHeaders(prefix)];
  return {
    type: "object",
    allOf: [common],
    properties: {
      [`${prefix}type`]: { const: type },
      ...(source === undefined ? {} : { [`${prefix}source`]: { const: source } }),
      ...(keyPath === undefined
        ? {}
        : { [`${prefix}subject`]: { type: "string", description: `The key: ${keyPath} of the payload.` } }),
      ...(isRequest ? requestHeaders : {}),
    },
    ...(source === undefined ? {} : { required }),
  };
}

/** What goes with a request, and back with its reply. */
export const requestHeaders: Readonly<Record<string, Schema>> = {
  "trunkline-reply-to": {
    type: "string",
    minLength: 1,
    description: "Where the reply is awaited; absent: nobody awaits one.",
  },
  "trunkline-correlation-id": { type: "string", minLength: 1, description: "What the reply names its request by." },
};

/** The headers of a reply. @param type the name of its message */
export function headersOfReply(type: string, prefix: AttributePrefix, common: Schema): Schema {
  const correlationId = requestHeaders["trunkline-correlation-id"] as Schema;
  return {
    type: "object",
    allOf: [common],
    properties: { [`${prefix}type`]: { const: type }, "trunkline-correlation-id": correlationId },
  };
}

/** What is written for every event. */
function* requiredHeaders(prefix: AttributePrefix): Generator<string> {
  for (const [name] of exampleHeaders(prefix, { type: "", source: "", contentType: "", key: undefined })) yield name;
}

interface ExampleAttributes {
  readonly type: string;
  readonly source: string;
  readonly contentType: string;
  readonly key: string | undefined;
}

/** Of an event with the id and the time of the example in RFC 9562, appendix A.6, so that documents are always the same. */
export function* exampleHeaders(
  prefix: AttributePrefix,
  attributes: ExampleAttributes,
): Generator<readonly [name: string, value: string]> {
  const record = {
    ...attributes,
    topic: "",
    id: "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
    timeMs: Date.UTC(2022, 1, 22, 19, 22, 22),
    trace: undefined,
    priority: "default",
    expiresAtMs: undefined,
    notBeforeMs: undefined,
    replyTo: undefined,
    correlationId: undefined,
    headers: {},
    body: new Uint8Array(),
  } as const;
  for (const [name, value] of pairsOf(headersOf(record, prefix))) {
    if (name !== contentTypeName || !isProperty(prefix)) yield [name, value];
  }
}
