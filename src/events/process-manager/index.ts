/**
 * Process managers (sagas): long-running work over several services as data and two pure functions, kept in the user's database
 * together with inbox and outbox. Imports `platform`, the contract, the model of events, `database`, `inbox` and `outbox`.
 *
 * Start at `definition.ts`, what a user writes, and `step.ts`, the one rule of what an event does to an instance; it is the same
 * for `process-manager.ts`, which runs it over a database, and for `scenario.ts`, which tests it without one.
 */
export {
  continuedBy,
  defineProcess,
  type Effect,
  type Effects,
  type NotFoundPolicy,
  type Process,
  type ProcessEvent,
  type ProcessEventOptions,
  type ProcessInput,
  type ProcessOptions,
  type ProcessPublishOptions,
  type StateOptions,
  startedBy,
  type TimeoutEvent,
} from "./definition.ts";
export type {
  ProcessChanged,
  ProcessCleanUpFailed,
  ProcessConflicted,
  ProcessManagerEvent,
  ProcessPassedOver,
} from "./observed.ts";
export { type ProcessManager, type ProcessManagerOptions, processManager } from "./process-manager.ts";
export { type Expectation, type ExpectedEvent, given, published, type Scenario } from "./scenario.ts";
export type { Instance, PassedOver, RunningTimeout } from "./step.ts";
