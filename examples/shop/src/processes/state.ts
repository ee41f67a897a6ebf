import { join } from "node:path";

const root = join(import.meta.dirname, "../../../..");

/** Where a shop keeps its data, under the root of the repository; each port offset is a shop of its own. */
export function stateFolder(offset: number): string {
  return join(root, ".trunkline", offset === 0 ? "shop" : `shop-${offset}`);
}
