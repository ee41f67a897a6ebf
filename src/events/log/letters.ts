import type { DeadLetter, DeadLetterEdit, DeadLetterFilter } from "../dead-letter.ts";
import type { DeathDetails } from "../driver.ts";
import type { StoredRecord } from "../record.ts";

/** A record that a group gives up, as its dead letter. */
export function letterOf(
  letterId: string,
  group: string,
  record: StoredRecord,
  details: DeathDetails,
  diedAtMs: number,
): DeadLetter {
  return {
    letterId,
    group,
    topic: record.topic,
    key: record.key,
    attributes: record.attributes,
    body: record.body,
    reason: details.reason,
    exception: details.exception,
    attempts: details.attempts,
    firstFailedAtMs: details.firstFailedAtMs,
    diedAtMs,
    place: record.place,
    consumer: details.consumer,
    contract: details.contract,
  };
}

/** Whether all conditions of a filter hold, but the limit. */
export function letterMatches(letter: DeadLetter, filter: DeadLetterFilter): boolean {
  return (
    (filter.group === undefined || letter.group === filter.group) &&
    (filter.topic === undefined || letter.topic === filter.topic) &&
    (filter.type === undefined || letter.attributes.type === filter.type) &&
    (filter.key === undefined || letter.key === filter.key) &&
    (filter.reason === undefined || letter.reason === filter.reason) &&
    (filter.letterIds === undefined || filter.letterIds.includes(letter.letterId)) &&
    (filter.sinceMs === undefined || letter.diedAtMs >= filter.sinceMs)
  );
}

export function editedLetter(letter: DeadLetter, change: DeadLetterEdit): DeadLetter {
  const headers: Record<string, string> = { ...letter.attributes.headers };
  for (const [name, value] of Object.entries(change.headers ?? {})) {
    if (value === undefined) delete headers[name.toLowerCase()];
    else headers[name.toLowerCase()] = value;
  }
  const attributes = { ...letter.attributes, headers };
  return {
    ...letter,
    key: change.key ?? letter.key,
    attributes: change.type === undefined ? attributes : { ...attributes, type: change.type },
  };
}
