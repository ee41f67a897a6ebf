import pRetry from "p-retry";
import { type GuardPeer, work } from "../protocol/guard.ts";

export const guards: GuardPeer = {
  "retry-first": () => pRetry(work, { retries: 2 }),
};
