import { stateCharsMax } from "./limits.ts";
import type { AnyProcess, Instance, RunningTimeout } from "./step.ts";
import type { InstanceRow } from "./store.ts";

/** An instance as its row. @throws TypeError, RangeError for a state that cannot be kept */
export function writeInstance<State>(process: AnyProcess<State>, instance: Instance<State>): InstanceRow {
  const { version, timeouts, isCompleted } = instance;
  let state: string | undefined;
  try {
    state = JSON.stringify(process.state.toJson(instance.state));
  } catch (cause) {
    throw new TypeError(
      `process ${process.name}: the state is no JSON: ${(cause as Error).message}; give state.toJson and state.fromJson`,
      { cause },
    );
  }
  if (state === undefined) throw new TypeError(`process ${process.name}: the state is no JSON, but nothing at all`);
  if (state.length > stateCharsMax) {
    throw new RangeError(
      `process ${process.name}: the state has ${state.length} characters as JSON; ${stateCharsMax} are the most`,
    );
  }
  return { version, state, timeouts: JSON.stringify(timeouts), isCompleted };
}

/** The instance of a row. @throws what `fromJson` throws */
export function readInstance<State>(process: AnyProcess<State>, row: InstanceRow): Instance<State> {
  return {
    version: row.version,
    state: process.state.fromJson(JSON.parse(row.state)),
    timeouts: JSON.parse(row.timeouts) as Readonly<Record<string, RunningTimeout>>,
    isCompleted: row.isCompleted,
  };
}
