import type { OnFailure } from "../broker.ts";
import type { Order } from "../driver.ts";
import type { Handling } from "./handling.ts";
import type { IntakeLimits } from "./intake.ts";
import type { RetrySchedule } from "./retry-schedule.ts";

/** What a subscription asks for, checked and with all defaults. */
export interface ConsumerPlan {
  readonly group: string;
  readonly concurrency: number;
  readonly order: Order;
  readonly onFailure: OnFailure;
  readonly schedule: RetrySchedule;
  readonly unknownTypes: "dead-letter" | "ignore";
  readonly handlerTimeoutMs: number;
  readonly limits: IntakeLimits;
  /** Whether the broker can bring a record back later. */
  readonly canRetryLater: boolean;
  /** By topic, then by type. */
  readonly handlings: ReadonlyMap<string, ReadonlyMap<string, Handling>>;
  /** Names this process in dead letters. */
  readonly consumer: string;
  /** Publishes through this become durable with the settlement, or not at all; `undefined`: they go on their own. */
  readonly transaction?: object | undefined;
}
