import { isUtf8 } from "node:buffer";
import type { EventAttributes } from "../events/index.ts";
import type { Judged, KnownEvents, Readable } from "./known-events.ts";
import { printable } from "./printable.ts";

/** Of a body in one line, in characters: what fits a few lines of a terminal. */
const bodyCharsMax = 1_000;

/** What is known of an event beside its body, under the names that `--json` shows. */
export function attributesView(attributes: Readonly<Partial<EventAttributes>>): Readonly<Record<string, unknown>> {
  const { id, source, type, timeMs, contentType, trace, priority, expiresAtMs, notBeforeMs, headers } = attributes;
  return {
    id,
    source,
    type,
    time: isoTime(timeMs),
    content_type: contentType,
    traceparent: trace?.traceparent,
    priority: priority === "default" ? undefined : priority,
    expires_at: isoTime(expiresAtMs),
    not_before: isoTime(notBeforeMs),
    reply_to: attributes.replyTo,
    correlation_id: attributes.correlationId,
    headers: headers === undefined || Object.keys(headers).length === 0 ? undefined : headers,
  };
}

/**
 * A body for `--json`: `body` is a value where it is JSON, or where its contract can tell what it is; otherwise `body_text`
 * or `body_base64`. With contracts, `contract` and `problem` say what became of it.
 */
export async function bodyView(record: Readable, known: KnownEvents | undefined): Promise<Record<string, unknown>> {
  const judged = await known?.judge(record);
  const view: Record<string, unknown> =
    judged?.json === undefined ? rawBodyView(record.body) : { body: JSON.parse(judged.json) as unknown };
  if (judged === undefined) return view;
  return { ...view, contract: judged.contract, problem: judged.problem };
}

function rawBodyView(body: Uint8Array): Record<string, unknown> {
  if (!isUtf8(body)) return { body_base64: bufferOf(body).toString("base64") };
  const text = bufferOf(body).toString("utf8");
  try {
    return { body: JSON.parse(text) as unknown };
  } catch {
    return { body_text: text };
  }
}

/** A body in one line for people. */
export function bodyLine(body: Uint8Array, judged: Judged | undefined): string {
  if (judged?.json !== undefined) return cut(judged.json);
  if (isUtf8(body)) return cut(bufferOf(body).toString("utf8"));
  return cut(`${body.length} bytes: ${bufferOf(body.subarray(0, bodyCharsMax)).toString("hex")}`);
}

function cut(text: string): string {
  const shown = printable(text.slice(0, bodyCharsMax));
  return text.length <= bodyCharsMax ? shown : `${shown}… (${text.length} characters)`;
}

/** A time that a record or a letter says, which may be any number. */
export function isoTime(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  // The range of dates (ECMA-262, section 21.4.1.1).
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

/** Text of a record in one line, or a dash where there is none. */
export function shown(text: string | undefined): string {
  return text === undefined || text === "" ? "-" : printable(text);
}

function bufferOf(body: Uint8Array): Buffer {
  return Buffer.from(body.buffer, body.byteOffset, body.byteLength);
}
