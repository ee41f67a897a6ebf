import type { DatabaseSync } from "node:sqlite";
import { compileEvent } from "../../contract/index.ts";
import { type Observer, outsideContext, type Platform, silentObserver, systemPlatform } from "../../platform/index.ts";
import { isSqlite, type PostgresClient, type PostgresPool } from "../database/index.ts";
import { Discard } from "../errors.ts";
import type { Delivery, EventHandler } from "../handler.ts";
import { inbox } from "../inbox/index.ts";
import type { Outbox } from "../outbox/index.ts";
import type { Process, ProcessEvent } from "./definition.ts";
import { cleanUpMs, cleanUpRowsMax, conflictsMax, instanceCharsMax, keepCompletedMsDefault } from "./limits.ts";
import type { ProcessManagerEvent } from "./observed.ts";
import { PostgresProcessStore } from "./postgres-store.ts";
import { readInstance, writeInstance } from "./row.ts";
import { SqliteProcessStore } from "./sqlite-store.ts";
import { type AnyProcess, type Input, type Instance, type PassedOver, type StepResult, step } from "./step.ts";
import { Conflict, type ProcessStore } from "./store.ts";
import { type TimeoutMessage, timeoutSchema } from "./timeout-event.ts";

export interface ProcessManagerOptions<State> {
  /** Made by `defineProcess`. */
  readonly process: AnyProcess<State> & Pick<Process, "events">;
  /**
   * How long completed instances are remembered, so that late events do not begin them again; 0: not at all.
   * @default 14 days
   */
  readonly keepCompletedMs?: number | undefined;
  readonly observer?: Observer | undefined;
  readonly platform?: Platform | undefined;
}

/** A process at work in a database. */
export interface ProcessManager<State> {
  /** For `broker.subscribe({ group: "…" }, ...manager.handlers)`: one for each event, and one for time-outs. */
  readonly handlers: readonly EventHandler[];
  /** What is kept of an instance. */
  find(instance: string): Promise<Instance<State> | undefined>;
}

/**
 * Runs a process over a database: each event changes its instance, is noted in the inbox, and puts what follows into the outbox,
 * all in one transaction. Resolves when the tables are there.
 *
 * ```ts
 * const manager = await processManager({ process: shipping, database, outbox: orders });
 * await broker.subscribe({ group: "shipping" }, ...manager.handlers);
 * ```
 * @throws RangeError for times that mean nothing
 */
export function processManager<State>(
  options: ProcessManagerOptions<State> & {
    readonly database: DatabaseSync;
    readonly outbox: Pick<Outbox<DatabaseSync, undefined>, "publish">;
  },
): Promise<ProcessManager<State>>;
export function processManager<State>(
  options: ProcessManagerOptions<State> & {
    readonly database: PostgresPool;
    readonly outbox: Pick<Outbox<PostgresClient, Promise<void>>, "publish">;
  },
): Promise<ProcessManager<State>>;
export async function processManager<State>(
  options: ProcessManagerOptions<State> & {
    readonly database: DatabaseSync | PostgresPool;
    readonly outbox: Pick<Outbox<DatabaseSync, undefined> | Outbox<PostgresClient, Promise<void>>, "publish">;
  },
): Promise<ProcessManager<State>> {
  const { process, database, outbox, keepCompletedMs = keepCompletedMsDefault, platform = systemPlatform } = options;
  if (!(keepCompletedMs >= 0 && keepCompletedMs <= Number.MAX_SAFE_INTEGER)) {
    throw new RangeError(`processManager: keepCompletedMs is ${keepCompletedMs}; it must be milliseconds from 0`);
  }
  const { name } = process;
  // The process sees each event once, whichever groups it is subscribed with.
  const group = `process:${name}`;
  const store = isSqlite(database)
    ? new SqliteProcessStore(
        name,
        database,
        await inbox({ database, group, platform }),
        outbox as Pick<Outbox<DatabaseSync, undefined>, "publish">,
        platform,
      )
    : new PostgresProcessStore(
        name,
        database,
        await inbox({ database, group, platform }),
        outbox as Pick<Outbox<PostgresClient, Promise<void>>, "publish">,
      );
  await store.open();
  return new RunningProcess(process, store, keepCompletedMs, options.observer ?? silentObserver, platform);
}

class RunningProcess<State> implements ProcessManager<State> {
  readonly handlers: readonly EventHandler[];
  readonly #process: AnyProcess<State>;
  readonly #store: ProcessStore;
  readonly #keepCompletedMs: number;
  readonly #observer: Observer;
  readonly #platform: Platform;
  readonly #timeouts: ReturnType<typeof timeoutSchema>;
  #cleanedAtMs: number;

  constructor(
    process: AnyProcess<State> & Pick<Process, "events">,
    store: ProcessStore,
    keepCompletedMs: number,
    observer: Observer,
    platform: Platform,
  ) {
    this.#process = process;
    this.#store = store;
    this.#keepCompletedMs = keepCompletedMs;
    this.#observer = observer;
    this.#platform = platform;
    this.#timeouts = timeoutSchema(process.name);
    this.#cleanedAtMs = platform.clock.now();
    const handlers = process.events.map(event => this.#handler(event));
    this.handlers = process.timeouts.length === 0 ? handlers : [...handlers, this.#timeoutHandler()];
  }

  async find(instance: string): Promise<Instance<State> | undefined> {
    const row = await this.#store.find(instance);
    return row === undefined ? undefined : readInstance(this.#process, row);
  }

  #handler({ contract, instanceOf, notFound }: ProcessEvent): EventHandler {
    const handle = (event: object, delivery: Delivery) => {
      const instance = instanceOf(event as never);
      if (typeof instance !== "string" || instance === "" || instance.length > instanceCharsMax) {
        throw new Discard(
          `process ${this.#process.name}: ${contract.typeName} names no instance; one is a text of 1 to ${instanceCharsMax} characters`,
        );
      }
      return this.#take(instance, delivery, { kind: "event", event, notFound });
    };
    return { event: contract, handle };
  }

  #timeoutHandler(): EventHandler {
    const handle = ({ instance, name, version, dueAt }: TimeoutMessage, delivery: Delivery) =>
      this.#take(instance, delivery, { kind: "timeout", name, version: Number(version), dueAtMs: Number(dueAt) });
    return { event: compileEvent(this.#timeouts), handle };
  }

  async #take(instance: string, delivery: Delivery, input: Input): Promise<void> {
    for (let conflicts = 1; ; conflicts++) {
      try {
        const result = await this.#store.run(delivery, instance, before => {
          const nowMs = this.#platform.clock.wall();
          const instanceBefore = before === undefined ? undefined : readInstance(this.#process, before);
          const result = step(this.#process, instance, instanceBefore, input, nowMs);
          if (result.kind === "not-found") throw this.#notFound(instance, delivery, result.policy);
          return { change: result.kind === "changed" ? this.#change(instance, result) : undefined, result };
        });
        this.#tell(instance, delivery, input, result);
        this.#cleanUp();
        return;
      } catch (error) {
        if (!(error instanceof Conflict)) throw error;
        this.#emit({ type: "process.conflicted", ...this.#of(instance, delivery, input), conflicts });
        if (conflicts >= conflictsMax) throw error;
      }
    }
  }

  #change(instance: string, { next, published, started }: StepResult<State> & { readonly kind: "changed" }) {
    const timeouts = started.map(({ name, version, dueAtMs }) => ({
      schema: this.#timeouts,
      event: { instance, name, version: BigInt(version), dueAt: BigInt(dueAtMs) },
      options: { notBeforeMs: dueAtMs },
    }));
    return { row: writeInstance(this.#process, next), events: [...published, ...timeouts] };
  }

  #notFound(instance: string, { type }: Delivery, policy: "retry" | "dead-letter"): Error {
    const text = `process ${this.#process.name}: there is no instance ${JSON.stringify(instance)} that ${type} could continue`;
    return policy === "retry" ? new Error(text) : new Discard(text);
  }

  #tell(instance: string, delivery: Delivery, input: Input, result: StepResult<State> | undefined): void {
    if (this.#observer === silentObserver) return;
    const of = this.#of(instance, delivery, input);
    if (result?.kind === "changed") {
      const { version, isCompleted } = result.next;
      this.#emit({ type: "process.changed", ...of, version, isCompleted });
      return;
    }
    const reason: PassedOver | "duplicate" = result?.kind === "passed-over" ? result.reason : "duplicate";
    this.#emit({ type: "process.passed_over", ...of, reason });
  }

  #of(instance: string, { type }: Delivery, input: Input) {
    const { name } = this.#process;
    return { process: name, instance, input: input.kind === "event" ? type : `timeout:${input.name}` };
  }

  /** Beside the handlers; what fails now is done a minute later. */
  #cleanUp(): void {
    const now = this.#platform.clock.now();
    if (this.#keepCompletedMs > 0 && now - this.#cleanedAtMs < cleanUpMs) return;
    this.#cleanedAtMs = now;
    outsideContext(() => this.#store.cleanUp(this.#keepCompletedMs, cleanUpRowsMax)).catch(error =>
      this.#emit({ type: "process.clean_up_failed", process: this.#process.name, error }),
    );
  }

  #emit(event: ProcessManagerEvent): void {
    this.#observer.emit(event);
  }
}
