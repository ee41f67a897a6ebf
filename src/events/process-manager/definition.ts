import type { DescMessage, MessageInitShape, MessageShape } from "@bufbuild/protobuf";
import { compileEvent, type EventContract } from "../../contract/index.ts";
import type { PublishOptions } from "../broker.ts";
import { timeoutMsMax } from "./limits.ts";

/** What becomes of an event whose instance does not exist. */
export type NotFoundPolicy = "start" | "retry" | "ignore" | "dead-letter";

/** An event that a process reacts to; made by {@link startedBy} and {@link continuedBy}. */
export interface ProcessEvent<D extends DescMessage = DescMessage> {
  readonly schema: D;
  readonly contract: EventContract;
  /** The instance that an event belongs to; `undefined`: it names none. */
  readonly instanceOf: (event: never) => string | undefined;
  readonly notFound: NotFoundPolicy;
}

export interface ProcessEventOptions<D extends DescMessage> {
  /** Which instance an event belongs to. @default the contract's key */
  readonly instance?: ((event: MessageShape<D>) => string | undefined) | undefined;
}

/**
 * The event begins an instance where there is none; an instance that is there gets it like any other event.
 * @throws ContractError when the message is no event
 */
export function startedBy<D extends DescMessage>(schema: D, options: ProcessEventOptions<D> = {}): ProcessEvent<D> {
  const contract = compileEvent(schema);
  return { schema, contract, instanceOf: options.instance ?? contract.keyOf, notFound: "start" };
}

/**
 * The event belongs to an instance that is there. `notFound` says what is done while there is none: `retry` lets the
 * subscription try again, because an event of another topic may have come first; `ignore` passes it over; `dead-letter` gives
 * it up at once.
 *
 * @throws ContractError when the message is no event
 */
export function continuedBy<D extends DescMessage>(
  schema: D,
  options: ProcessEventOptions<D> & {
    /** @default "retry" */
    readonly notFound?: Exclude<NotFoundPolicy, "start"> | undefined;
  } = {},
): ProcessEvent<D> {
  const contract = compileEvent(schema);
  const { notFound = "retry" } = options;
  if (!["retry", "ignore", "dead-letter"].includes(notFound)) {
    throw new TypeError(
      `continuedBy(${contract.typeName}): notFound is ${JSON.stringify(notFound)}; it must be "retry", "ignore" or "dead-letter", and startedBy is for events that begin an instance`,
    );
  }
  return { schema, contract, instanceOf: options.instance ?? contract.keyOf, notFound };
}

/** A time-out as `decide` and `evolve` see it, beside the process's events. */
export type TimeoutEvent<Timeout extends string> = Timeout extends string
  ? { readonly $typeName: "timeout"; readonly name: Timeout }
  : never;

/** What a process can be told: its events, and the time-outs that it has started. Tell them apart by `$typeName`. */
export type ProcessInput<Events extends readonly ProcessEvent[], Timeout extends string> =
  | MessageShape<Events[number]["schema"]>
  | TimeoutEvent<Timeout>;

/** What a decision has done. Plain data: nothing happens before the transaction that keeps the new state. */
export type Effect<Timeout extends string = string> =
  | {
      readonly kind: "publish";
      readonly schema: DescMessage;
      readonly event: Readonly<Record<string, unknown>>;
      readonly options: ProcessPublishOptions | undefined;
    }
  | { readonly kind: "start-timeout"; readonly name: Timeout; readonly afterMs: number }
  | { readonly kind: "stop-timeout"; readonly name: Timeout };

export type ProcessPublishOptions = Pick<PublishOptions, "key" | "headers" | "notBeforeMs" | "expiresAtMs">;

/** Makes effects. */
export interface Effects<Timeout extends string> {
  publish<D extends DescMessage>(
    schema: D,
    event: MessageInitShape<D>,
    options?: ProcessPublishOptions,
  ): Effect<Timeout>;
  /**
   * The process gets `{ $typeName: "timeout", name }` after `afterMs` milliseconds, unless it stops the time-out, starts the
   * one of that name anew, or is completed before.
   */
  startTimeout(name: Timeout, afterMs: number): Effect<Timeout>;
  stopTimeout(name: Timeout): Effect<Timeout>;
}

/** A process: what it listens to, what it remembers, and two pure functions. */
export interface ProcessOptions<State, Events extends readonly ProcessEvent[], Timeout extends string> {
  /** Names its rows, its inbox and its topic `<name>.timeouts`: 1 to 200 of A-Z a-z 0-9 . _ - */
  readonly name: string;
  readonly events: Events;
  /** Names of its time-outs. @default none */
  readonly timeouts?: readonly Timeout[] | undefined;
  readonly state: StateOptions<State>;
  /**
   * What follows from an event: what is published, which time-outs are started and stopped. Sees the state before the event.
   * Pure: it may be called again for the same event, and whatever else it did would be done twice or for nothing.
   */
  readonly decide: (
    state: State,
    event: ProcessInput<Events, Timeout>,
    effects: Effects<Timeout>,
  ) => readonly Effect<Timeout>[];
  /** The state after an event. Pure; a new object, or the same one when nothing changes. */
  readonly evolve: (state: State, event: ProcessInput<Events, Timeout>) => State;
}

export interface StateOptions<State> {
  /** Of an instance that begins, before its first event. */
  readonly initial: (instance: string) => State;
  /** Whether the process is over: its time-outs end, and whatever comes later is passed over. @default never */
  readonly isCompleted?: ((state: State) => boolean) | undefined;
  /** What is kept of a state, as `JSON.stringify` takes it. @default the state itself */
  readonly toJson?: ((state: State) => unknown) | undefined;
  /** The state of what was kept, perhaps by an older version of the program. @default the parsed JSON */
  readonly fromJson?: ((json: unknown) => State) | undefined;
}

/** A process, checked. Made by {@link defineProcess}; for `processManager` and for tests. */
export interface Process<
  State = unknown,
  Events extends readonly ProcessEvent[] = readonly ProcessEvent[],
  Timeout extends string = string,
> {
  readonly name: string;
  readonly events: Events;
  readonly timeouts: readonly Timeout[];
  readonly state: Required<{ [K in keyof StateOptions<State>]: NonNullable<StateOptions<State>[K]> }>;
  readonly decide: ProcessOptions<State, Events, Timeout>["decide"];
  readonly evolve: ProcessOptions<State, Events, Timeout>["evolve"];
}

/**
 * Defines a process manager (saga) as data and two pure functions, which tests call without a broker or a database.
 *
 * ```ts
 * const shipping = defineProcess({
 *   name: "shipping",
 *   events: [startedBy(OrderPlacedSchema), continuedBy(OrderPaidSchema)],
 *   timeouts: ["payment"],
 *   state: { initial: (): Shipping => ({ status: "new" }), isCompleted: state => state.status !== "placed" },
 *   decide: (state, event, { publish, startTimeout }) => …,
 *   evolve: (state, event) => …,
 * });
 * ```
 * @throws TypeError for options that make no process
 */
export function defineProcess<
  State,
  const Events extends readonly ProcessEvent[],
  const Timeout extends string = never,
>(options: ProcessOptions<State, Events, Timeout>): Process<State, Events, Timeout> {
  const { name, events, timeouts = [], state, decide, evolve } = options;
  if (typeof name !== "string" || !/^[A-Za-z0-9._-]{1,200}$/.test(name)) {
    throw new TypeError(`defineProcess: name is ${JSON.stringify(name)}; it must be 1 to 200 of A-Z a-z 0-9 . _ -`);
  }
  const where = `defineProcess (${name})`;
  const types = new Set(events.map(({ contract }) => contract.typeName));
  if (types.size < events.length) throw new TypeError(`${where}: an event is listed twice`);
  if (!events.some(({ notFound }) => notFound === "start")) {
    throw new TypeError(`${where}: no event begins it; one of its events must be startedBy(Schema)`);
  }
  if (new Set(timeouts).size < timeouts.length || timeouts.some(one => one === "" || one.length > 200)) {
    throw new TypeError(`${where}: timeouts must be different names of 1 to 200 characters`);
  }
  return {
    name,
    events,
    timeouts,
    state: {
      initial: state.initial,
      isCompleted: state.isCompleted ?? (() => false),
      toJson: state.toJson ?? (value => value),
      fromJson: state.fromJson ?? (json => json as State),
    },
    decide,
    evolve,
  };
}

/** The effects that a process can make. Those that mean nothing are errors where they are made. */
export function effectsOf<Timeout extends string>(
  process: Pick<Process<never, readonly ProcessEvent[], Timeout>, "name" | "timeouts">,
): Effects<Timeout> {
  const known = (name: Timeout): Timeout => {
    if (process.timeouts.includes(name)) return name;
    throw new TypeError(`process ${process.name}: there is no time-out ${JSON.stringify(name)}; list it in timeouts`);
  };
  return {
    publish: (schema, event, options) => ({
      kind: "publish",
      schema,
      event: event as Readonly<Record<string, unknown>>,
      options,
    }),
    startTimeout(name, afterMs) {
      if (!(afterMs >= 0 && afterMs <= timeoutMsMax)) {
        throw new RangeError(
          `process ${process.name}: the time-out ${name} is ${afterMs} ms; it must be from 0 to ${timeoutMsMax}`,
        );
      }
      return { kind: "start-timeout", name: known(name), afterMs };
    },
    stopTimeout: name => ({ kind: "stop-timeout", name: known(name) }),
  };
}
