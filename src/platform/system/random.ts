import { randomFillSync } from "node:crypto";
import type { Random } from "../random.ts";

/** Numbers from V8's generator, for jitter and sampling; bytes from the system's cryptographic source, for ids. */
export const systemRandom: Random = {
  next: () => Math.random(),
  below(bound) {
    return Math.floor(Math.random() * bound);
  },
  bytes: count => randomFillSync(new Uint8Array(count)),
};
