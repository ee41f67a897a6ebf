import type { DescMessage } from "@bufbuild/protobuf";
import {
  type Effects,
  effectsOf,
  type NotFoundPolicy,
  type Process,
  type ProcessEvent,
  type ProcessPublishOptions,
} from "./definition.ts";
import { effectsMax } from "./limits.ts";

/** A time-out that an instance has started and neither stopped nor seen. */
export interface RunningTimeout {
  /** Of the instance that started it. */
  readonly version: number;
  /** Milliseconds since 1970-01-01 UTC. */
  readonly dueAtMs: number;
}

/** An instance of a process, as it is kept. */
export interface Instance<State> {
  /** Changes that it has seen: 1 after the event that began it. */
  readonly version: number;
  readonly state: State;
  readonly timeouts: Readonly<Record<string, RunningTimeout>>;
  readonly isCompleted: boolean;
}

/** What comes to an instance. */
export type Input =
  | { readonly kind: "event"; readonly event: object; readonly notFound: NotFoundPolicy }
  | { readonly kind: "timeout"; readonly name: string; readonly version: number; readonly dueAtMs: number };

export interface PublishedEvent {
  readonly schema: DescMessage;
  readonly event: Readonly<Record<string, unknown>>;
  readonly options: ProcessPublishOptions | undefined;
}

/** A time-out to be sent when it is due. */
export interface StartedTimeout extends RunningTimeout {
  readonly name: string;
}

/** Why an input changed nothing. */
export type PassedOver = "not_found" | "completed" | "late_timeout";

/** What an input does to an instance. */
export type StepResult<State> =
  | {
      readonly kind: "changed";
      readonly next: Instance<State>;
      readonly published: readonly PublishedEvent[];
      readonly started: readonly StartedTimeout[];
    }
  | { readonly kind: "passed-over"; readonly reason: PassedOver }
  | { readonly kind: "not-found"; readonly policy: "retry" | "dead-letter" };

/** As much of a process as a step needs; the types of its events stay with whoever defined it. */
export type AnyProcess<State> = Pick<Process<State, readonly ProcessEvent[], string>, "name" | "timeouts" | "state"> & {
  readonly decide: (
    state: State,
    event: never,
    effects: Effects<never>,
  ) => readonly (
    | {
        readonly kind: "publish";
        schema: DescMessage;
        event: Readonly<Record<string, unknown>>;
        options: ProcessPublishOptions | undefined;
      }
    | { readonly kind: "start-timeout"; name: string; afterMs: number }
    | { readonly kind: "stop-timeout"; name: string }
  )[];
  readonly evolve: (state: State, event: never) => State;
};

/**
 * One step of a process: pure, the same for databases and for tests.
 *
 * A time-out counts only while the instance has one of its name that was started at the same version and for the same time:
 * one that was stopped, started anew, or belongs to an instance that was there before under the same name, is late.
 */
export function step<State>(
  process: AnyProcess<State>,
  instance: string,
  before: Instance<State> | undefined,
  input: Input,
  nowMs: number,
): StepResult<State> {
  if (before?.isCompleted === true) return { kind: "passed-over", reason: "completed" };
  if (input.kind === "timeout" && !isRunning(before, input)) {
    return { kind: "passed-over", reason: before === undefined ? "not_found" : "late_timeout" };
  }
  if (before === undefined && input.kind === "event" && input.notFound !== "start") {
    const { notFound } = input;
    if (notFound === "ignore") return { kind: "passed-over", reason: "not_found" };
    return { kind: "not-found", policy: notFound };
  }
  const state = before === undefined ? process.state.initial(instance) : before.state;
  const seen = (input.kind === "event" ? input.event : { $typeName: "timeout", name: input.name }) as never;
  const effects = process.decide(state, seen, effectsOf(process) as Effects<never>);
  if (!(Array.isArray as (value: unknown) => boolean)(effects)) {
    throw new TypeError(`process ${process.name}: decide must return a list of effects, not a ${kindOf(effects)}`);
  }
  if (effects.length > effectsMax) {
    throw new RangeError(
      `process ${process.name}: one event has ${effects.length} effects; ${effectsMax} are the most`,
    );
  }
  const next = process.evolve(state, seen);
  if (next === undefined || isPromise(next)) {
    throw new TypeError(`process ${process.name}: evolve must return the next state, not a ${kindOf(next)}`);
  }
  const version = (before?.version ?? 0) + 1;
  const timeouts: Record<string, RunningTimeout> = { ...before?.timeouts };
  if (input.kind === "timeout") delete timeouts[input.name];
  const published: PublishedEvent[] = [];
  const started = new Map<string, StartedTimeout>();
  for (const effect of effects) {
    switch (effect.kind) {
      case "publish":
        published.push({ schema: effect.schema, event: effect.event, options: effect.options });
        break;
      case "start-timeout": {
        const running = { version, dueAtMs: Math.ceil(nowMs + effect.afterMs) };
        timeouts[effect.name] = running;
        started.set(effect.name, { name: effect.name, ...running });
        break;
      }
      case "stop-timeout":
        delete timeouts[effect.name];
        started.delete(effect.name);
        break;
      default:
        effect satisfies never;
    }
  }
  const isCompleted = process.state.isCompleted(next);
  return {
    kind: "changed",
    next: { version, state: next, timeouts: isCompleted ? {} : timeouts, isCompleted },
    published,
    started: isCompleted ? [] : [...started.values()],
  };
}

function isRunning(
  before: Instance<unknown> | undefined,
  { name, version, dueAtMs }: { readonly name: string; readonly version: number; readonly dueAtMs: number },
): boolean {
  // A name of a message must not find what every object has.
  if (before === undefined || !Object.hasOwn(before.timeouts, name)) return false;
  const running = before.timeouts[name];
  return running?.version === version && running.dueAtMs === dueAtMs;
}

function isPromise(value: unknown): boolean {
  return typeof (value as PromiseLike<unknown> | undefined)?.then === "function";
}

function kindOf(value: unknown): string {
  return isPromise(value) ? "promise" : typeof value;
}
