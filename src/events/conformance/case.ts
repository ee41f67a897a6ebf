import type { BrokerCapabilities } from "../driver.ts";
import type { BrokerHarness } from "./harness.ts";
import type { Scene } from "./scene.ts";

/** One demand on every broker. */
export interface BrokerCase {
  /** Reads as a sentence; harnesses name it to skip it. */
  readonly name: string;
  /** Why a broker that lacks something cannot be asked; `undefined`: it can. */
  readonly lacks?: (capabilities: BrokerCapabilities, harness: BrokerHarness) => string | undefined;
  readonly run: (scene: Scene) => Promise<void>;
}

/** For cases about the order of keys. */
export function lacksOrder(capabilities: BrokerCapabilities, harness: BrokerHarness): string | undefined {
  const isKept = capabilities.order !== "none" || harness.inOrder !== undefined;
  return isKept ? undefined : "it keeps no order of keys";
}
