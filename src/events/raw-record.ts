import { isEventTypeName, isTopicName } from "../contract/index.ts";
import type { Platform } from "../platform/index.ts";
import type { PublishOptions } from "./broker.ts";
import type { EventIds } from "./event-id.ts";
import { checkedHeaders, checkedId, checkedKey, refused } from "./event-writer.ts";
import type { EventRecord } from "./record.ts";

/** An event without its contract: somebody else has encoded the body. */
export interface RawEvent {
  readonly topic: string;
  readonly type: string;
  readonly source: string;
  readonly contentType: string;
  readonly body: Uint8Array;
}

/**
 * A record of it, for `broker.forward`.
 * @throws PublishError for what no broker would take
 */
export function rawRecord(
  { topic, type, source, contentType, body }: RawEvent,
  { key, id, headers = {} }: Pick<PublishOptions, "key" | "id" | "headers">,
  ids: EventIds,
  platform: Platform,
): EventRecord {
  if (!isTopicName(topic)) {
    throw refused(`topic is ${JSON.stringify(topic)}; it must be 1 to 249 of A-Z a-z 0-9 . _ - and not . or ..`);
  }
  if (!isEventTypeName(type)) {
    throw refused(`type is ${JSON.stringify(type)}; it must be 1 to 255 of A-Z a-z 0-9 . _ -`);
  }
  return {
    topic,
    key: key === undefined ? undefined : checkedKey(key),
    id: id === undefined ? ids.next() : checkedId(id),
    source,
    type,
    timeMs: platform.clock.wall(),
    contentType,
    trace: undefined,
    priority: "default",
    expiresAtMs: undefined,
    notBeforeMs: undefined,
    replyTo: undefined,
    correlationId: undefined,
    headers: checkedHeaders(headers),
    body,
  };
}
