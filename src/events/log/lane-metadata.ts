import { laneMetadataBytesMax } from "./limits.ts";

/**
 * What the owner of a lane leaves for the next one, beside the committed offset: whether it ended cleanly, how far its
 * handlers may have come, and how often records were begun by owners that crashed. It travels as the metadata of a
 * commit, a short text: `t1:u5k;0.3,1f.2` is an owner at work that may have begun the first 200 offsets above the
 * committed one (numbers have base 36), of which the first was begun three times and the 52nd twice.
 */
export interface LaneMetadata {
  /** No handler of the owner can have been cut off. */
  readonly isClean: boolean;
  /** Offsets from the committed one on for which a handler may have begun. */
  readonly window: number;
  /** Attempts that have begun, by offset, where they are known to be more than one crash's. */
  readonly attempts: ReadonlyMap<number, number>;
}

/** Of a group without commits, or whose commit a foreign program has made: nothing is suspected. */
export const cleanMetadata: LaneMetadata = { isClean: true, window: 0, attempts: new Map() };

const format = /^t1:(?:c|u([0-9a-z]{1,11}))(?:;((?:[0-9a-z]{1,11}\.[0-9a-z]{1,6},?)*))?$/;

/** When not all attempts find room, those of the records that were begun most often are kept. */
export function encodeLaneMetadata(committed: number, { isClean, window, attempts }: LaneMetadata): string {
  let text = isClean ? "t1:c" : `t1:u${window.toString(36)}`;
  if (attempts.size === 0) return text;
  const worstFirst = [...attempts].sort(([offset, count], [other, otherCount]) => otherCount - count || offset - other);
  let separator = ";";
  for (const [offset, count] of worstFirst) {
    const entry = `${separator}${(offset - committed).toString(36)}.${count.toString(36)}`;
    if (text.length + entry.length > laneMetadataBytesMax) break;
    text += entry;
    separator = ",";
  }
  return text;
}

export function decodeLaneMetadata(committed: number, text: string | undefined): LaneMetadata {
  const found = text === undefined || text.length > laneMetadataBytesMax ? null : format.exec(text);
  if (found === null) return cleanMetadata;
  const attempts = new Map<number, number>();
  for (const entry of found[2]?.split(",") ?? []) {
    const [delta, count] = entry.split(".");
    if (delta !== undefined && count !== undefined) {
      attempts.set(committed + Number.parseInt(delta, 36), Number.parseInt(count, 36));
    }
  }
  const isClean = found[1] === undefined;
  return { isClean, window: isClean ? 0 : Number.parseInt(found[1] as string, 36), attempts };
}
