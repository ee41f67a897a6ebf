import assert from "node:assert/strict";
import { test } from "node:test";
import { type Call, createServer, implement, type Observer } from "trunkline";
import { memoryPlatform } from "trunkline/testing";
import { Bodies, Color, Corners, Paths, Streams, Things } from "../gen/transcoding/v1/transcoding_pb.ts";
import { type FuzzRequest, mutate, seeds } from "./mutations.ts";

const cases = 12_000;

/** Handlers that fail at nothing: whatever fails is ours. */
const answered = (methods: Readonly<Record<string, unknown>>) =>
  Object.fromEntries(
    Object.keys(methods).map(name => [name, (_: unknown, call: Call) => ({ method: call.method.name })]),
  );

const services = [
  implement(Paths, answered(Paths.method)),
  implement(Bodies, { ...answered(Bodies.method), part: () => ({}), raw: request => request, nothing: () => ({}) }),
  implement(Things, { getThing: ({ thingId }) => ({ thingId }), makeThing: thing => thing }),
  implement(Corners, { ...answered(Corners.method), attach: a => a, zero: () => ({}), makeNamed: request => request }),
  implement(Streams, {
    async *count({ to }) {
      for (let itemNumber = 1; itemNumber <= to; itemNumber++) yield { itemNumber, color: Color.RED };
    },
    async collect(items) {
      const texts: string[] = [];
      for await (const { note } of items) texts.push(note);
      return { texts };
    },
    async *chat(items) {
      yield* items;
    },
    async *download({ to }) {
      for (let index = 0; index < to; index++) yield { contentType: "x/y", data: new Uint8Array(3) };
    },
    async sendPieces(pieces) {
      const texts: string[] = [];
      for await (const { file } of pieces) texts.push(file?.contentType ?? "");
      return { texts };
    },
  }),
];

function dice(seed: number): (bound: number) => number {
  let state = seed | 0;
  return bound => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % bound;
  };
}

function bytesOf({ method, target, fields, body }: FuzzRequest): Buffer {
  const head = [`${method} ${target} HTTP/1.1`, "host: a", "connection: close"];
  for (const [name, value] of fields) head.push(`${name}: ${value}`);
  if (body !== undefined) head.push(`content-length: ${body.length}`);
  const text = Buffer.from(`${head.join("\r\n")}\r\n\r\n`, "latin1");
  return body === undefined ? text : Buffer.concat([text, body]);
}

/** Why an answer is not one that a server may give; `undefined`: it is. */
function fault(answer: string): string | undefined {
  const end = answer.indexOf("\r\n\r\n");
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(answer)?.[1]);
  if (end === -1 || !(status >= 200)) return "no answer";
  if (status >= 500 && status !== 501) return `status ${status}`;
  const head = answer.slice(0, end).toLowerCase();
  const type = /\ncontent-type: ([^\r]*)/.exec(head)?.[1];
  if (status === 304 || head.includes("content-length: 0")) return undefined;
  const body = answer.slice(end + 4);
  if (body === "" || head.includes("content-encoding:")) return undefined;
  if (type === "application/json" && status < 300) JSON.parse(Buffer.from(body, "latin1").toString());
  if (type !== "application/problem+json") return undefined;
  const problem = JSON.parse(Buffer.from(body, "latin1").toString()) as { status?: number; violations?: unknown[] };
  if (problem.status !== status) return "a problem with another status";
  if ([400, 406, 415].includes(status) && !(Number(problem.violations?.length) > 0))
    return "a problem that names nothing";
  return undefined;
}

test(`${cases} changed requests of all routes get an answer that says what is wrong, and never 500`, async context => {
  const seed = Number(process.env["TRUNKLINE_SEED"] ?? Math.floor(Math.random() * 2 ** 31));
  context.diagnostic(`seed ${seed}; again with TRUNKLINE_SEED=${seed}`);
  const below = dice(seed);
  const failures: unknown[] = [];
  const observer: Observer = {
    emit(event) {
      if (event.type === "rpc.handler.failed") failures.push((event as unknown as { error: unknown }).error);
    },
  };
  const platform = memoryPlatform();
  const server = createServer({ services, platform, observer, limits: { messageBytesMax: 100_000 } });
  const { port } = await server.listen({ host: "127.0.0.1", port: 1 });

  async function answerTo(bytes: Buffer): Promise<string> {
    const stream = await platform.network.connect({ host: "127.0.0.1", port });
    return new Promise(resolve => {
      let answer = "";
      stream.handler = {
        data(chunk) {
          answer += chunk.toString("latin1");
        },
        drained() {},
        ended: () => stream.end(),
        closed: () => resolve(answer),
      };
      stream.write(bytes);
    });
  }

  const statuses = new Map<string, number>();
  for (let done = 0; done < cases; done += 100) {
    const requests = Array.from({ length: 100 }, () => mutate(seeds[below(seeds.length)] as FuzzRequest, below));
    await Promise.all(
      requests.map(async request => {
        const bytes = bytesOf(request);
        const answer = await answerTo(bytes);
        const wrong = fault(answer);
        assert.equal(wrong, undefined, `seed ${seed}:\n${bytes.toString("latin1")}\n\n${answer}`);
        const status = answer.slice(9, 12);
        statuses.set(status, (statuses.get(status) ?? 0) + 1);
      }),
    );
    assert.deepEqual(failures, [], `seed ${seed}`);
  }
  context.diagnostic(
    [...statuses]
      .sort()
      .map(([status, count]) => `${status}: ${count}`)
      .join(", "),
  );
  // A fuzz that only meets 404 has tested the router.
  assert((statuses.get("200") ?? 0) > cases / 20);
  assert((statuses.get("400") ?? 0) > cases / 20);
  await server.close();
});
