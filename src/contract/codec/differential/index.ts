/**
 * For tests only: compares the codecs with protobuf-es on random schemas, messages and mutated input, from a seed.
 * The unit tests run a few seconds of it, `conformance/codec/run.ts` as long as wanted. Start at `differential.ts`.
 */
export { Dice } from "./dice.ts";
export { compareWithReferee, type Tally } from "./differential.ts";
export { randomMessage } from "./random-message.ts";
