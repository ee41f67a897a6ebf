import type { Random } from "../random.ts";
import { cryptoModule } from "./crypto-module.ts";

/** Numbers from V8's generator, for jitter and sampling; bytes from the system's cryptographic source, for ids. */
export const systemRandom: Random = {
  next: () => Math.random(),
  below(bound) {
    return Math.floor(Math.random() * bound);
  },
  bytes: count => cryptoModule().randomFillSync(new Uint8Array(count)),
};
