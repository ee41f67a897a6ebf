import { parseArgs } from "node:util";
import { compareWithReferee, type Tally } from "../../src/contract/codec/differential/index.ts";
import { compareWithProtobufjs } from "./against-protobufjs.ts";
import { measure } from "./measure.ts";

/**
 * The long comparison of the codecs with protobuf-es (random schemas, messages, mutated bytes and JSON, both backends)
 * and with protobufjs, then their speed beside both. `--seed` repeats a run, `--seconds` sets its length, `--measure`
 * only measures.
 */
const { values } = parseArgs({
  options: {
    seed: { type: "string", default: String(Math.floor(Math.random() * 1e9)) },
    seconds: { type: "string", default: "120" },
    measure: { type: "boolean", default: false },
  },
});

function write(line: string): void {
  process.stdout.write(`${line}\n`);
}

const tally: Tally = { passed: 0, failures: [] };
if (!values.measure) {
  const first = Number(values.seed);
  write(`seed ${first}`);
  const end = performance.now() + Number(values.seconds) * 1000;
  let seed = first;
  for (; performance.now() < end && tally.failures.length < 20; seed++) {
    compareWithReferee(seed, ["generated", "closures"], 8, tally);
  }
  write(`${seed - first} random schemas compared with protobuf-es`);
  compareWithProtobufjs(first, 2000, tally);
  for (const failure of tally.failures) write(failure);
}
for (const line of measure()) write(line);
write(`${tally.passed} passed, ${tally.failures.length} failed`);
const sawNothing = tally.passed === 0 && !values.measure;
process.exitCode = tally.failures.length > 0 || sawNothing ? 1 : 0;
