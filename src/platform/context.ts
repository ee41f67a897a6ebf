import { AsyncLocalStorage, AsyncResource } from "node:async_hooks";

/**
 * The ambient context: values that travel with a piece of work (its call, trace, priority) across awaits and timers
 * without being passed on. Each layer declares its own keys; only the mechanism is here.
 *
 * A context is a linked list of entries, so that entering one allocates one small object and copies nothing.
 */

/** Names a value of the ambient context. Two keys are different even when their names are equal. */
export interface ContextKey<T> {
  readonly name: string;
  /** Carries the type of the value; never set. */
  readonly valueType?: T;
}

/** A captured context, for {@link restoreContext}. */
export interface Context {
  readonly key: ContextKey<unknown>;
  readonly value: unknown;
  readonly parent: Context | undefined;
}

const storage = new AsyncLocalStorage<Context | undefined>();

// Taken when the process loads this module: the state before any piece of work, also for storages of other libraries.
const atModuleLoad = AsyncLocalStorage.snapshot();

/** Declares a key. Once, at module level. */
export function contextKey<T>(name: string): ContextKey<T> {
  return { name };
}

/** Runs `fn`, and everything it starts, with `key` set to `value` on top of the present context. */
export function runInContext<T, R>(key: ContextKey<T>, value: T, fn: () => R): R {
  return storage.run({ key, value, parent: storage.getStore() }, fn);
}

/** The value of `key` in the present context. */
export function contextValue<T>(key: ContextKey<T>): T | undefined {
  for (let entry = storage.getStore(); entry !== undefined; entry = entry.parent) {
    if (entry.key === key) return entry.value as T;
  }
  return undefined;
}

/**
 * Runs `fn` outside of any context, also of other libraries': for connections, pools, timers and whatever else serves
 * many pieces of work and must not belong to the one that happened to need it first.
 */
export function outsideContext<R>(fn: () => R): R {
  return atModuleLoad(leave, fn) as R;
}

function leave<R>(fn: () => R): R {
  return storage.getStore() === undefined ? fn() : storage.run(undefined, fn);
}

/** The present context, to be restored later; `undefined` when there is none, which costs nothing to restore. */
export function captureContext(): Context | undefined {
  return storage.getStore();
}

/** Runs `fn` in a captured context. */
export function restoreContext<R>(context: Context | undefined, fn: () => R): R {
  return storage.getStore() === context ? fn() : storage.run(context, fn);
}

/**
 * The present context together with those of other libraries, for work of somebody else's that goes on from a timer or a
 * queue. A quarter of a snapshot's cost, but still that of an object with a registration: not for every call.
 */
export class WholeContext {
  readonly #resource = new AsyncResource("trunkline.context", { requireManualDestroy: true });

  run<R>(fn: () => R): R {
    return this.#resource.runInAsyncScope(fn);
  }
}

/**
 * The same sequence, with every `next`, `return` and `throw` run in the context of whoever called `bindIterator`: a
 * generator sees its own call however it is driven. Includes the contexts of other libraries.
 */
export function bindIterator<T>(iterable: AsyncIterable<T>): AsyncIterableIterator<T, void, undefined> {
  const inside = AsyncLocalStorage.snapshot();
  const iterator = inside(() => iterable[Symbol.asyncIterator]());
  return {
    [Symbol.asyncIterator]() {
      return this;
    },
    next: () => inside(() => iterator.next()),
    return: async () => {
      if (iterator.return === undefined) return { done: true, value: undefined };
      await inside(() => iterator.return?.());
      return { done: true, value: undefined };
    },
    throw: async error => {
      if (iterator.throw !== undefined)
        return inside(() => iterator.throw?.(error) as Promise<IteratorResult<T, void>>);
      await inside(() => iterator.return?.());
      throw error;
    },
  };
}
