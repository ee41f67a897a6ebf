import { create, fromBinary, fromJsonString, toBinary, toJsonString } from "@bufbuild/protobuf";
import { BinaryCodecs } from "../../src/contract/codec/binary/index.ts";
import { JsonCodecs } from "../../src/contract/codec/json/index.ts";
import { orderInit, orderSchema } from "../../src/contract/codec/order.fixture.ts";
import { ByteWriter } from "../../src/platform/index.ts";
import { protobufjsOrder } from "./against-protobufjs.ts";

const rounds = 7;
const callsPerRound = 50_000;

/**
 * CPU time per call for the guide's order, all codecs in interleaved rounds of one process; medians. JSON text is turned
 * into bytes on both sides, since text that is not sent costs less than it seems (it is put together only then).
 */
export function measure(): string[] {
  const order = create(orderSchema, orderInit as never);
  const bytes = Buffer.from(toBinary(orderSchema, order));
  const text = toJsonString(orderSchema, order);
  const writer = new ByteWriter(4096);
  const type = protobufjsOrder();
  const theirs = type.decode(bytes);
  const cases = new Map<string, () => unknown>();
  for (const backend of ["generated", "closures"] as const) {
    const binary = new BinaryCodecs(backend).get(orderSchema);
    const json = new JsonCodecs(backend).get(orderSchema);
    cases.set(`${backend} binary encode`, () => {
      writer.position = 0;
      binary.encode(order, writer);
      return writer.position;
    });
    cases.set(`${backend} binary decode`, () => binary.decode(bytes, 0, bytes.length));
    cases.set(`${backend} JSON encode`, () => Buffer.byteLength(json.encode(order)));
    cases.set(`${backend} JSON decode`, () => json.decode(text));
  }
  cases.set("protobuf-es binary encode", () => toBinary(orderSchema, order));
  cases.set("protobuf-es binary decode", () => fromBinary(orderSchema, bytes));
  cases.set("protobuf-es JSON encode", () => Buffer.byteLength(toJsonString(orderSchema, order)));
  cases.set("protobuf-es JSON decode", () => fromJsonString(orderSchema, text));
  cases.set("protobufjs binary encode", () => type.encode(theirs).finish());
  cases.set("protobufjs binary decode", () => type.decode(bytes));
  const nanoseconds = interleaved(cases);
  const both = (codec: string, format: string): number =>
    (nanoseconds.get(`${codec} ${format} encode`) ?? Number.NaN) +
    (nanoseconds.get(`${codec} ${format} decode`) ?? Number.NaN);
  const ratio = (peer: string, format: string): string =>
    `${format} encode + decode: ${(both(peer, format) / both("generated", format)).toFixed(2)} times as fast as ${peer}`;
  return [
    `order of ${bytes.length} bytes, ${text.length} characters of JSON; node ${process.version}; CPU ns per call:`,
    ...[...nanoseconds].map(([name, cost]) => `  ${name.padEnd(28)} ${cost.toFixed(0).padStart(6)}`),
    ratio("protobuf-es", "binary"),
    ratio("protobufjs", "binary"),
    ratio("protobuf-es", "JSON"),
    ratio("closures", "binary"),
  ];
}

function cpuMicroseconds(): number {
  const { user, system } = process.cpuUsage();
  return user + system;
}

function interleaved(cases: Map<string, () => unknown>): Map<string, number> {
  const costs = new Map<string, number[]>([...cases.keys()].map(name => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, run] of cases) {
      let result: unknown;
      const start = cpuMicroseconds();
      for (let call = 0; call < callsPerRound; call++) result = run();
      const cost = ((cpuMicroseconds() - start) * 1000) / callsPerRound;
      if (result === undefined) throw new Error(`${name} gave nothing`);
      // The first round warms up.
      if (round > 0) costs.get(name)?.push(cost);
    }
  }
  return new Map([...costs].map(([name, all]) => [name, all.sort((a, b) => a - b)[all.length >> 1] ?? Number.NaN]));
}
