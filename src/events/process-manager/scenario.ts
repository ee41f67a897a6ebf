import assert from "node:assert/strict";
import { create, type DescMessage, equals, type MessageInitShape, toJson } from "@bufbuild/protobuf";
import type { Process, ProcessEvent } from "./definition.ts";
import { readInstance, writeInstance } from "./row.ts";
import { type Input, type Instance, type PassedOver, type PublishedEvent, type StepResult, step } from "./step.ts";

/** What a step is expected to do. What is left out is not looked at. */
export interface Expectation<State, Timeout extends string> {
  /** All that is published, in order. */
  readonly publishes?: readonly ExpectedEvent[] | undefined;
  /** All time-outs that run afterwards: milliseconds from now. */
  readonly timeouts?: Partial<Readonly<Record<Timeout, number>>> | undefined;
  readonly state?: State | undefined;
  readonly isCompleted?: boolean | undefined;
  /** The input changes nothing, and why. */
  readonly passedOver?: PassedOver | undefined;
  /** There is no instance, and this is done about it. */
  readonly notFound?: "retry" | "dead-letter" | undefined;
}

export interface ExpectedEvent {
  readonly schema: DescMessage;
  readonly event: Readonly<Record<string, unknown>>;
}

/** An event that is expected to be published. */
export function published<D extends DescMessage>(schema: D, event: MessageInitShape<D>): ExpectedEvent {
  return { schema, event: event as Readonly<Record<string, unknown>> };
}

/**
 * A test of a process, without a broker or a database: what is `given` has happened, `when` something comes, `expect` this
 * follows. A scenario is a value: each step makes a new one, so that several can go on from the same.
 *
 * ```ts
 * given(shipping, "order-1")
 *   .event(OrderPlacedSchema, { orderId: "order-1" })
 *   .whenTimeout("payment")
 *   .expect({ publishes: [published(OrderCancelledSchema, { orderId: "order-1" })], isCompleted: true });
 * ```
 */
export function given<State, Events extends readonly ProcessEvent[], Timeout extends string>(
  process: Process<State, Events, Timeout>,
  instance = "1",
): Scenario<State, Events, Timeout> {
  return new Scenario(process, instance, undefined, 0, undefined);
}

class Scenario<State, Events extends readonly ProcessEvent[], Timeout extends string> {
  readonly #process: Process<State, Events, Timeout>;
  readonly #instance: string;
  readonly #before: Instance<State> | undefined;
  readonly #nowMs: number;
  readonly #last: StepResult<State> | undefined;

  constructor(
    process: Process<State, Events, Timeout>,
    instance: string,
    before: Instance<State> | undefined,
    nowMs: number,
    last: StepResult<State> | undefined,
  ) {
    this.#process = process;
    this.#instance = instance;
    this.#before = before;
    this.#nowMs = nowMs;
    this.#last = last;
  }

  /** The instance is there, with this state. */
  state(state: State): Scenario<State, Events, Timeout> {
    const isCompleted = this.#process.state.isCompleted(state);
    const before = { version: (this.#before?.version ?? 0) + 1, state, timeouts: {}, isCompleted };
    return new Scenario(this.#process, this.#instance, before, this.#nowMs, undefined);
  }

  /** An event has come. */
  event<D extends Events[number]["schema"]>(schema: D, event: MessageInitShape<D>): Scenario<State, Events, Timeout> {
    const found = this.#process.events.find(one => one.schema.typeName === schema.typeName);
    if (found === undefined) assert.fail(`${this.#process.name} does not listen to ${schema.typeName}`);
    const message = create(schema, event);
    const named = found.instanceOf(message as never);
    assert.equal(named, this.#instance, `${schema.typeName} belongs to another instance of ${this.#process.name}`);
    return this.#take({ kind: "event", event: message, notFound: found.notFound });
  }

  /** The same as `event`: the one that the test is about. */
  when<D extends Events[number]["schema"]>(schema: D, event: MessageInitShape<D>): Scenario<State, Events, Timeout> {
    return this.event(schema, event);
  }

  /** So many milliseconds have passed. Time-outs do not come by themselves: `whenTimeout` lets one come. */
  passed(ms: number): Scenario<State, Events, Timeout> {
    return new Scenario(this.#process, this.#instance, this.#before, this.#nowMs + ms, undefined);
  }

  /** A running time-out is due. */
  whenTimeout(name: Timeout): Scenario<State, Events, Timeout> {
    const running = this.#before?.timeouts[name];
    if (running === undefined) assert.fail(`the time-out ${name} does not run`);
    const due = new Scenario(
      this.#process,
      this.#instance,
      this.#before,
      Math.max(this.#nowMs, running.dueAtMs),
      undefined,
    );
    return due.#take({ kind: "timeout", name, ...running });
  }

  /** Holds the last step against what is expected. @throws AssertionError */
  expect(expected: Expectation<State, Timeout>): Scenario<State, Events, Timeout> {
    const last = this.#last;
    if (last === undefined) assert.fail("expect: nothing has come yet; use when or whenTimeout before");
    const done = last.kind === "passed-over" ? `passed over: ${last.reason}` : last.kind;
    if (expected.passedOver !== undefined) assert.equal(done, `passed over: ${expected.passedOver}`);
    else if (expected.notFound !== undefined) {
      assert.equal(last.kind === "not-found" ? last.policy : done, expected.notFound);
    } else assert.equal(done, "changed");
    if (expected.publishes !== undefined) {
      comparePublished(last.kind === "changed" ? last.published : [], expected.publishes);
    }
    if (expected.timeouts !== undefined) assert.deepEqual(this.#running(), expected.timeouts);
    if ("state" in expected) assert.deepEqual(this.#before?.state, expected.state);
    if (expected.isCompleted !== undefined) assert.equal(this.#before?.isCompleted ?? false, expected.isCompleted);
    return this;
  }

  #running(): Record<string, number> {
    const entries = Object.entries(this.#before?.timeouts ?? {});
    return Object.fromEntries(entries.map(([name, { dueAtMs }]) => [name, dueAtMs - this.#nowMs]));
  }

  #take(input: Input): Scenario<State, Events, Timeout> {
    const result = step(this.#process, this.#instance, this.#before, input, this.#nowMs);
    // Through its row, so that a state that does not survive it fails here.
    const after =
      result.kind === "changed" ? readInstance(this.#process, writeInstance(this.#process, result.next)) : this.#before;
    return new Scenario(this.#process, this.#instance, after, this.#nowMs, result);
  }
}

export type { Scenario };

function comparePublished(actual: readonly PublishedEvent[], expected: readonly ExpectedEvent[]): void {
  const same = actual.length === expected.length && actual.every((one, index) => isEqual(one, expected[index]));
  if (!same) assert.deepEqual(actual.map(shown), expected.map(shown), "what is published");
}

function isEqual({ schema, event }: PublishedEvent, expected: ExpectedEvent | undefined): boolean {
  if (expected === undefined || expected.schema.typeName !== schema.typeName) return false;
  return equals(schema, create(schema, event), create(schema, expected.event));
}

/** For the message of a failure. */
function shown({ schema, event }: ExpectedEvent): unknown {
  return [schema.typeName, toJson(schema, create(schema, event))];
}
