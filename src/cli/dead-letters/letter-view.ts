import type { HeldLetter } from "../../events/index.ts";
import { attributesView, bodyView, isoTime, shown } from "../event-view.ts";
import type { KnownEvents } from "../known-events.ts";
import { printable } from "../printable.ts";

/** A dead letter in one line: what lists show, and what commands say of what they did. */
export function letterLine(letter: HeldLetter): string {
  const { letterId, group, topic, key, attributes, reason, attempts, diedAtMs, exception } = letter;
  const why = shown(exception?.split("\n", 1)[0]);
  const times = attempts === 1 ? "1 attempt" : `${attempts} attempts`;
  const event = `${shown(topic)} ${shown(attributes.type)} ${shown(key)}`;
  return `${printable(letterId)} ${shown(isoTime(diedAtMs))} ${shown(group)} ${event} ${reason} (${times}): ${why}`;
}

/** A dead letter for `--json`, without its body. */
export function letterView(letter: HeldLetter): Record<string, unknown> {
  return {
    letter_id: letter.letterId,
    group: letter.group,
    topic: letter.topic,
    key: letter.key,
    reason: letter.reason,
    exception: letter.exception,
    attempts: letter.attempts,
    first_failed_at: isoTime(letter.firstFailedAtMs),
    died_at: isoTime(letter.diedAtMs),
    place: letter.place,
    consumer: letter.consumer,
    held_against: letter.contract,
    ...attributesView(letter.attributes),
  };
}

/** A dead letter for `--json`, with its body. */
export async function wholeLetterView(
  letter: HeldLetter,
  known: KnownEvents | undefined,
): Promise<Record<string, unknown>> {
  return { ...letterView(letter), ...(await bodyView(letter, known)) };
}
