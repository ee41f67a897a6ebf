import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { type Channel, createClient, isRpcError, type Metadata } from "../../src/exports/index.ts";
import {
  type StreamingInputCallRequestSchema,
  type StreamingOutputCallRequestSchema,
  TestService,
  UnimplementedService,
} from "./gen/interop_pb.ts";

type Input = MessageInitShape<typeof StreamingInputCallRequestSchema>;
type Output = MessageInitShape<typeof StreamingOutputCallRequestSchema>;

const requestSizes = [27_182, 8, 1_828, 45_904];
const responseSizes = [31_415, 9, 2_653, 58_979];

const payload = (size: number): { body: Uint8Array } => ({ body: new Uint8Array(size) });
const asked = (size: number, requestSize: number): Output => ({
  responseParameters: [{ size }],
  payload: payload(requestSize),
});

async function* of<T>(...items: readonly T[]): AsyncIterable<T> {
  yield* items;
}

/** Requests of which each is sent when the answer to the one before has come. */
class PingPong implements AsyncIterable<Output> {
  readonly #requests: readonly Output[];
  #answered = Promise.withResolvers<void>();

  constructor(requests: readonly Output[]) {
    this.#requests = requests;
  }

  answered(): void {
    this.#answered.resolve();
  }

  async *[Symbol.asyncIterator](): AsyncIterator<Output> {
    for (const request of this.#requests) {
      yield request;
      await this.#answered.promise;
      this.#answered = Promise.withResolvers();
    }
  }
}

/** The client's cases (grpc/doc/interop-test-descriptions.md); each throws when the server's answer is not the described one. */
export const interopCases: Readonly<Record<string, (channel: Channel) => Promise<void>>> = {
  async empty_unary(channel) {
    await createClient(TestService, channel).emptyCall({});
  },

  async large_unary(channel) {
    const answer = await createClient(TestService, channel).unaryCall({
      responseSize: 314_159,
      payload: payload(271_828),
    });
    assert.equal(answer.payload?.body.length, 314_159);
  },

  async client_streaming(channel) {
    const requests = requestSizes.map((size): Input => ({ payload: payload(size) }));
    const answer = await createClient(TestService, channel).streamingInputCall(of(...requests));
    assert.equal(answer.aggregatedPayloadSize, 74_922);
  },

  async server_streaming(channel) {
    const sizes: (number | undefined)[] = [];
    const request = { responseParameters: responseSizes.map(size => ({ size })) };
    for await (const answer of createClient(TestService, channel).streamingOutputCall(request)) {
      sizes.push(answer.payload?.body.length);
    }
    assert.deepEqual(sizes, responseSizes);
  },

  async ping_pong(channel) {
    const requests = new PingPong(responseSizes.map((size, i) => asked(size, requestSizes[i] as number)));
    const sizes: (number | undefined)[] = [];
    for await (const answer of createClient(TestService, channel).fullDuplexCall(requests)) {
      sizes.push(answer.payload?.body.length);
      requests.answered();
    }
    assert.deepEqual(sizes, responseSizes);
  },

  async empty_stream(channel) {
    for await (const answer of createClient(TestService, channel).fullDuplexCall(of<Output>())) {
      assert.fail(`an answer of ${answer.payload?.body.length} bytes to nothing`);
    }
  },

  async timeout_on_sleeping_server(channel) {
    const requests = new PingPong([{ payload: payload(27_182) }]);
    const reading = (async () => {
      for await (const _ of createClient(TestService, channel).fullDuplexCall(requests, { timeoutMs: 1 }));
    })();
    await assert.rejects(reading, error => isRpcError(error, "deadline_exceeded"));
  },

  async cancel_after_begin(channel) {
    const controller = new AbortController();
    const requests = new PingPong([{}, {}]);
    const calling = createClient(TestService, channel).streamingInputCall(requests as AsyncIterable<Input>, {
      signal: controller.signal,
    });
    const settled = assert.rejects(calling, error => isRpcError(error, "cancelled"));
    await sleep(20);
    controller.abort();
    await settled;
  },

  async cancel_after_first_response(channel) {
    const controller = new AbortController();
    const requests = new PingPong([asked(31_415, 27_182), asked(9, 8)]);
    const reading = (async () => {
      for await (const answer of createClient(TestService, channel).fullDuplexCall(requests, {
        signal: controller.signal,
      })) {
        assert.equal(answer.payload?.body.length, 31_415);
        controller.abort();
      }
    })();
    await assert.rejects(reading, error => isRpcError(error, "cancelled"));
  },

  async status_code_and_message(channel) {
    const client = createClient(TestService, channel);
    const responseStatus = { code: 2, message: "test status message" };
    const isIt = (error: unknown): boolean => isRpcError(error, "unknown") && error.message === responseStatus.message;
    await assert.rejects(client.unaryCall({ responseStatus }), isIt);
    const reading = (async () => {
      for await (const _ of client.fullDuplexCall(of<Output>({ responseStatus })));
    })();
    await assert.rejects(reading, isIt);
  },

  async special_status_message(channel) {
    const message = "\t\ntest with whitespace\r\nand Unicode BMP \u263a and non-BMP \u{1f608}\t\n";
    const calling = createClient(TestService, channel).unaryCall({ responseStatus: { code: 2, message } });
    await assert.rejects(calling, error => isRpcError(error, "unknown") && error.message === message);
  },

  async custom_metadata(channel) {
    const initial = "test_initial_metadata_value";
    const trailing = new Uint8Array([0xab, 0xab, 0xab]);
    const metadata = { "x-grpc-test-echo-initial": initial, "x-grpc-test-echo-trailing-bin": trailing };
    const seen: unknown[] = [];
    const options = {
      metadata,
      onHeaders: (headers: Metadata) => seen.push(headers.get("x-grpc-test-echo-initial")),
      onTrailers: (trailers: Metadata) =>
        seen.push(Buffer.from(trailers.get("x-grpc-test-echo-trailing-bin") as Uint8Array).toString("hex")),
    };
    const client = createClient(TestService, channel);
    await client.unaryCall({ responseSize: 314_159, payload: payload(271_828) }, options);
    for await (const _ of client.fullDuplexCall(of(asked(314_159, 271_828)), options));
    assert.deepEqual(seen, [initial, "ababab", initial, "ababab"]);
  },

  async unimplemented_method(channel) {
    const calling = createClient(TestService, channel).unimplementedCall({});
    await assert.rejects(calling, error => isRpcError(error, "unimplemented"));
  },

  async unimplemented_service(channel) {
    const calling = createClient(UnimplementedService, channel).unimplementedCall({});
    await assert.rejects(calling, error => isRpcError(error, "unimplemented"));
  },
};
