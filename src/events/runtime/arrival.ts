import type { StoredRecord } from "../record.ts";
import type { EventCatalog, TopicTypes } from "./catalog.ts";
import { deadLetter, Entry, type EntryOwner, type LaneState } from "./entry.ts";
import type { Handling } from "./handling.ts";
import type { Journal } from "./journal.ts";
import type { ParkedKey } from "./parked-key.ts";
import type { ConsumerPlan } from "./plan.ts";
import { contractOf, judgeEvent, readEvent, typeText, Unreadable } from "./read-record.ts";

interface Topic {
  readonly types: TopicTypes;
  readonly handlings: ReadonlyMap<string, Handling>;
}

const noHandlings: ReadonlyMap<string, Handling> = new Map();

/** What a record is on its arrival: which contract and handler it belongs to, and the key that it is ordered by. */
export class Arrival {
  readonly #plan: ConsumerPlan;
  readonly #catalog: EventCatalog;
  readonly #journal: Journal;
  readonly #owner: EntryOwner;
  readonly #topics = new Map<string, Topic>();

  /** @param owner of the entries */
  constructor(plan: ConsumerPlan, catalog: EventCatalog, journal: Journal, owner: EntryOwner) {
    this.#plan = plan;
    this.#catalog = catalog;
    this.#journal = journal;
    this.#owner = owner;
  }

  /**
   * The entry of a record; `undefined` for one that is not handled here, which is to be settled.
   * @param parkedKey of a record that comes back from the parking place of the lane
   */
  receive(lane: LaneState, record: StoredRecord, parkedKey?: ParkedKey): Entry | undefined {
    const topic = this.#topic(record.topic);
    const contract = contractOf(record, topic.types);
    const handling = contract === undefined ? undefined : topic.handlings.get(contract.type);
    if (handling === undefined && (contract !== undefined || this.#plan.unknownTypes === "ignore")) {
      this.#journal.ignored(record, contract?.type);
      return undefined;
    }
    const entry = new Entry(this.#owner, lane, record, parkedKey?.orderKey ?? this.#orderKey(record));
    entry.handling = handling;
    entry.parkedKey = parkedKey;
    if (handling === undefined) {
      entry.step = deadLetter(
        "unknown_type",
        `no loaded contract knows this event of ${record.topic}: ${typeText(record)}`,
      );
    } else if (this.#plan.order === "key" && entry.key === undefined) {
      // Only the body knows its key.
      if (readEntry(entry, handling)) entry.key = handling.contract.keyOf(entry.event as object);
    }
    return entry;
  }

  #topic(name: string): Topic {
    let topic = this.#topics.get(name);
    if (topic === undefined) {
      topic = { types: this.#catalog.topic(name), handlings: this.#plan.handlings.get(name) ?? noHandlings };
      this.#topics.set(name, topic);
    }
    return topic;
  }

  #orderKey(record: StoredRecord): string | undefined {
    switch (this.#plan.order) {
      case "key":
        return record.key;
      case "partition":
        return "";
      case "none":
        return undefined;
      default:
        return this.#plan.order satisfies never;
    }
  }
}

/** Reads the event of an entry; `false`: it is for the dead letters. */
export function readEntry(entry: Entry, handling: Handling): boolean {
  try {
    const event = readEvent(entry.record, handling.contract);
    if (handling.validate !== undefined) judgeEvent(event, handling.contract, handling.validate);
    entry.event = event;
    return true;
  } catch (error) {
    entry.step = deadLetter(error instanceof Unreadable ? error.reason : "invalid", (error as Error).message);
    return false;
  }
}
