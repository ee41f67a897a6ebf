import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after } from "node:test";
import { type Platform, systemPlatform } from "../../../platform/index.ts";
import type { Broker } from "../../broker.ts";
import { brokerConformance } from "../../conformance/index.ts";
import { connectBroker } from "../../connect.ts";

const folder = mkdtempSync(join(tmpdir(), "embedded-conformance-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** Longer than the lease, so that others have taken over when it goes on. */
const stoppedMs = 2_500;

/** The machine, as a process sees it that is stopped (SIGSTOP) for a while: nothing of its own runs meanwhile. */
function stoppablePlatform(): { readonly platform: Platform; readonly stop: () => void } {
  let held: (() => void)[] | undefined;
  const { clock } = systemPlatform;
  const whenRunning = (run: () => void) => () => {
    if (held === undefined) run();
    else held.push(run);
  };
  return {
    platform: {
      ...systemPlatform,
      clock: {
        now: () => clock.now(),
        wall: () => clock.wall(),
        after: (delayMs, run, keepsAlive) => clock.after(delayMs, whenRunning(run), keepsAlive),
        endOfTurn: run => clock.endOfTurn(whenRunning(run)),
      },
    },
    stop: () => {
      held = [];
      const goOn = () => {
        const waiting = held ?? [];
        held = undefined;
        for (const run of waiting) run();
      };
      clock.after(stoppedMs, goOn, true);
    },
  };
}

for (const writer of ["thread", "inline"]) {
  const stops = new WeakMap<Broker, () => void>();
  let names = 0;
  brokerConformance({
    name: `embedded, ${writer}`,
    connect: async options => {
      const { platform, stop } = stoppablePlatform();
      const url = `sqlite:${join(folder, `${writer}.db`)}?leaseMs=2000&writer=${writer}`;
      const broker = await connectBroker(url, { ...options, platform });
      stops.set(broker, stop);
      return broker;
    },
    uniqueName: hint => `${hint}-${++names}`,
    kill: async broker => stops.get(broker)?.(),
    waitMs: 10_000,
  });
}
