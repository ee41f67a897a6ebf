import { resolve } from "node:path";
import { BrokerError } from "../../errors.ts";
import {
  embeddedPartitions,
  embeddedPartitionsMax,
  leaseMsDefault,
  retentionBytesDefault,
  retentionMsDefault,
} from "./limits.ts";

export interface EmbeddedUrl {
  /** Absolute. */
  readonly file: string;
  /** `full`: what is confirmed survives the machine; `normal`: it survives the process. */
  readonly durability: "full" | "normal";
  /** Where writes wait for the disk. */
  readonly writer: "thread" | "inline" | undefined;
  readonly partitions: number;
  readonly leaseMs: number;
  readonly retentionMs: number;
  readonly retentionBytes: number;
}

const numbers: Readonly<Record<string, { readonly min: number; readonly max: number; readonly fallback: number }>> = {
  partitions: { min: 1, max: embeddedPartitionsMax, fallback: embeddedPartitions },
  leaseMs: { min: 100, max: 600_000, fallback: leaseMsDefault },
  retentionMs: { min: 0, max: 1e13, fallback: retentionMsDefault },
  retentionBytes: { min: 1, max: 1e13, fallback: retentionBytesDefault },
};

/**
 * `sqlite:./events.db`, relative to the working directory, or absolute as `sqlite:/var/lib/shop/events.db`.
 * @throws BrokerError that says which part means nothing, and what would
 */
export function parseEmbeddedUrl(url: string): EmbeddedUrl {
  const refuse = (why: string) => new BrokerError(`broker ${JSON.stringify(url)}: ${why}`);
  const found = /^sqlite:([^?]*)(?:\?(.*))?$/.exec(url);
  if (found === null) throw refuse("expected sqlite: and a path, as in sqlite:./events.db");
  let path = found[1] as string;
  if (path === "" || path === ":memory:") {
    throw refuse("events in a file need a path, as in sqlite:./events.db; for events in memory use memory:");
  }
  if (path.startsWith("//")) {
    if (!path.startsWith("///"))
      throw refuse("a path has one slash or three: sqlite:./events.db, sqlite:///var/events.db");
    path = path.slice(2);
  }
  try {
    path = decodeURIComponent(path);
  } catch {
    throw refuse("a % in the path is written as %25");
  }
  if (path.includes("\0")) throw refuse("a path has no zero byte");
  const values: Record<string, number> = {};
  for (const [name, { fallback }] of Object.entries(numbers)) values[name] = fallback;
  let durability: EmbeddedUrl["durability"] = "full";
  let writer: EmbeddedUrl["writer"];
  for (const [name, value] of new URLSearchParams(found[2] ?? "")) {
    const range = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
    if (range !== undefined) {
      const number = /^[0-9]{1,14}$/.test(value) ? Number(value) : Number.NaN;
      if (!(number >= range.min && number <= range.max)) {
        throw refuse(`${name}=${value} is no integer from ${range.min} to ${range.max}`);
      }
      values[name] = number;
    } else if (name === "durability" && (value === "full" || value === "normal")) durability = value;
    else if (name === "writer" && (value === "thread" || value === "inline")) writer = value;
    else {
      throw refuse(
        `${name}=${value} is none of durability=full|normal, writer=thread|inline, ${Object.keys(numbers).join(", ")}`,
      );
    }
  }
  return {
    file: resolve(path),
    durability,
    writer,
    ...(values as Record<keyof typeof numbers, number>),
  } as EmbeddedUrl;
}
