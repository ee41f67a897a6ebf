/**
 * What every broker has to do, as a suite that the test of each driver runs: here, and in packages of others. Needs a real
 * clock and a broker; a case ends by events, and a wait that sees nothing for too long fails.
 *
 * Start at `harness.ts`, what a driver's test has to give, then `cases/`. `history.ts` judges long runs under faults. May import `events` and `node:test`.
 */
import { describe, test } from "node:test";
import type { BrokerCase } from "./case.ts";
import { batchCases } from "./cases/batches.ts";
import { failureCases } from "./cases/failures.ts";
import { faultCases } from "./cases/faults.ts";
import { foreignCases } from "./cases/foreign.ts";
import { membershipCases } from "./cases/membership.ts";
import { parkingCases } from "./cases/parking.ts";
import { publishingCases } from "./cases/publishing.ts";
import { requestCases } from "./cases/requests.ts";
import type { BrokerHarness } from "./harness.ts";
import { Scene } from "./scene.ts";

export type { BrokerHarness, PlainRecord } from "./harness.ts";
export { type GroupVerdict, History, type HistoryEntry, type NumberedEvent } from "./history.ts";

const cases: readonly BrokerCase[] = [
  ...publishingCases,
  ...membershipCases,
  ...failureCases,
  ...parkingCases,
  ...batchCases,
  ...foreignCases,
  ...requestCases,
  ...faultCases,
];

/**
 * Declares the suite as tests of `node:test`, one after the other.
 *
 * ```ts
 * brokerConformance({ name: "memory", connect: options => connectBroker("memory:", options), uniqueName });
 * ```
 */
export function brokerConformance(harness: BrokerHarness): void {
  for (const name of Object.keys(harness.skips ?? {})) {
    if (!cases.some(one => one.name === name)) throw new Error(`brokerConformance: there is no case "${name}"`);
  }
  describe(`conformance of ${harness.name}`, () => {
    for (const { name, lacks, run } of cases) {
      test(name, async t => {
        const skip = harness.skips?.[name];
        if (skip !== undefined) {
          t.skip(skip);
          return;
        }
        const scene = new Scene(harness);
        try {
          const lack = lacks?.((await scene.connect()).capabilities, harness);
          if (lack !== undefined) t.skip(lack);
          else await run(scene);
        } finally {
          await scene.close();
        }
      });
    }
  });
}
