/** An event as its producer numbered it. */
export interface NumberedEvent {
  /** Unique among all events of a run. */
  readonly id: string;
  readonly producer: string;
  readonly key: string;
  /** Ascends with the producer's calls of `publish`, within each key at least. */
  readonly number: number;
}

/** One thing that happened, in the words of whoever it happened to. */
export type HistoryEntry =
  /** Before `publish` is called. */
  | { readonly what: "attempted"; readonly event: NumberedEvent }
  /** `publish` has resolved. */
  | { readonly what: "confirmed"; readonly id: string }
  /** `publish` has rejected: whether the event is in the broker is unknown. */
  | { readonly what: "failed"; readonly id: string }
  /** A handler begins, whichever attempt it is. */
  | { readonly what: "delivered"; readonly group: string; readonly event: NumberedEvent }
  /** The handler is about to return. */
  | { readonly what: "handled"; readonly group: string; readonly id: string };

export interface GroupVerdict {
  /** Confirmed, and never handled: not delivered, or never to the end. */
  readonly lost: readonly NumberedEvent[];
  /** Delivered, and never attempted as it was delivered. */
  readonly phantom: readonly NumberedEvent[];
  /** Confirmed, and delivered or handled for the first time behind a later confirmed one of its producer and key. */
  readonly reordered: readonly NumberedEvent[];
  /** Events handled again after they had been handled. */
  readonly duplicates: number;
}

interface Publication {
  readonly event: NumberedEvent;
  state: "attempted" | "confirmed" | "failed";
}

/** What members of one group saw. */
interface Sightings {
  /** First deliveries, in their sequence. */
  readonly delivered: Map<string, NumberedEvent>;
  /** First times that a handler came to its end, in their sequence, each with how often it did. */
  readonly handled: Map<string, number>;
  readonly phantom: NumberedEvent[];
}

/**
 * What happened to events between publishers and groups, as they tell it, and what is wrong with it. Entries of one producer come in
 * the sequence in which they happened, and so do all deliveries of a group, across its members; publishers and groups may
 * be read one after the other in any sequence, because nothing is judged before `judge`.
 *
 * Keeps every event: a tenth of a kilobyte each.
 */
export class History {
  readonly #published = new Map<string, Publication>();
  readonly #groups = new Map<string, Sightings>();
  #confirmed = 0;
  #failed = 0;
  #deliveries = 0;

  /** @param groups who must get every event, also when nobody of them has seen one */
  constructor(groups: Iterable<string>) {
    for (const group of groups) {
      this.#groups.set(group, { delivered: new Map(), handled: new Map(), phantom: [] });
    }
  }

  get attempted(): number {
    return this.#published.size;
  }

  get confirmed(): number {
    return this.#confirmed;
  }

  get failed(): number {
    return this.#failed;
  }

  /** Attempts of handlers, of all groups. */
  get deliveries(): number {
    return this.#deliveries;
  }

  /** @throws Error for an entry that no history can have: the recording is at fault, not the broker */
  add(entry: HistoryEntry): void {
    switch (entry.what) {
      case "attempted":
        this.#attempted(entry.event);
        return;
      case "confirmed":
      case "failed":
        this.#settled(entry.id, entry.what);
        return;
      case "delivered":
        this.#delivered(this.#group(entry.group), entry.event);
        return;
      case "handled":
        this.#handled(this.#group(entry.group), entry.id);
        return;
      default:
        entry satisfies never;
    }
  }

  /** Confirmed events that a group has not handled yet. */
  outstanding(group: string): number {
    return this.#lost(this.#group(group)).length;
  }

  judge(group: string): GroupVerdict {
    const { delivered, handled, phantom } = this.#group(group);
    const unknown = [...delivered.values()].filter(event => !isSame(event, this.#published.get(event.id)?.event));
    const reordered = new Set([...this.#behind(delivered.keys()), ...this.#behind(handled.keys())]);
    let duplicates = 0;
    for (const times of handled.values()) duplicates += times - 1;
    return {
      lost: this.#lost(this.#group(group)),
      phantom: [...unknown, ...phantom],
      reordered: [...reordered],
      duplicates,
    };
  }

  #group(name: string): Sightings {
    const group = this.#groups.get(name);
    if (group === undefined) throw new Error(`history: there is no group "${name}"`);
    return group;
  }

  #attempted(event: NumberedEvent): void {
    if (this.#published.has(event.id)) throw new Error(`history: ${event.id} is attempted a second time`);
    this.#published.set(event.id, { event, state: "attempted" });
  }

  #settled(id: string, state: "confirmed" | "failed"): void {
    const publication = this.#published.get(id);
    if (publication === undefined) throw new Error(`history: ${id} is ${state} and was not attempted`);
    if (publication.state !== "attempted") throw new Error(`history: ${id} is ${publication.state} and ${state}`);
    publication.state = state;
    if (state === "confirmed") this.#confirmed++;
    else this.#failed++;
  }

  #delivered({ delivered, phantom }: Sightings, event: NumberedEvent): void {
    this.#deliveries++;
    const first = delivered.get(event.id);
    if (first === undefined) delivered.set(event.id, event);
    // An id that comes with something else the second time.
    else if (!isSame(first, event)) phantom.push(event);
  }

  #handled({ delivered, handled }: Sightings, id: string): void {
    if (!delivered.has(id)) throw new Error(`history: ${id} is handled and was not delivered`);
    handled.set(id, (handled.get(id) ?? 0) + 1);
  }

  #lost({ handled }: Sightings): NumberedEvent[] {
    const lost: NumberedEvent[] = [];
    for (const { event, state } of this.#published.values()) {
      if (state === "confirmed" && !handled.has(event.id)) lost.push(event);
    }
    return lost;
  }

  /** Those of a sequence of first times that come behind a later one of their producer and key. */
  *#behind(ids: Iterable<string>): Generator<NumberedEvent> {
    const highest = new Map<string, number>();
    for (const id of ids) {
      const publication = this.#published.get(id);
      // What was not confirmed may come whenever it likes: its publisher was never told that it has a place.
      if (publication?.state !== "confirmed") continue;
      const { event } = publication;
      const lane = JSON.stringify([event.producer, event.key]);
      const before = highest.get(lane);
      if (before !== undefined && before > event.number) yield event;
      else highest.set(lane, event.number);
    }
  }
}

function isSame(one: NumberedEvent, other: NumberedEvent | undefined): boolean {
  return one.producer === other?.producer && one.key === other.key && one.number === other.number;
}
