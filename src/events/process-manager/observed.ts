import type { PassedOver } from "./step.ts";

interface OfInstance {
  readonly process: string;
  readonly instance: string;
  /** Type of the event, or `timeout:<name>`. */
  readonly input: string;
}

/** An instance has changed. */
export interface ProcessChanged extends OfInstance {
  readonly type: "process.changed";
  readonly version: number;
  readonly isCompleted: boolean;
}

/** An input changed nothing: a repeat, one for an instance that does not exist or is completed, or a late time-out. */
export interface ProcessPassedOver extends OfInstance {
  readonly type: "process.passed_over";
  readonly reason: PassedOver | "duplicate";
}

/** Another process has changed the instance at the same time; it is decided again. */
export interface ProcessConflicted extends OfInstance {
  readonly type: "process.conflicted";
  readonly conflicts: number;
}

/** Completed instances could not be removed; it is tried again a minute later. */
export interface ProcessCleanUpFailed {
  readonly type: "process.clean_up_failed";
  readonly process: string;
  readonly error: unknown;
}

/** What process managers tell their observer. */
export type ProcessManagerEvent = ProcessChanged | ProcessPassedOver | ProcessConflicted | ProcessCleanUpFailed;
