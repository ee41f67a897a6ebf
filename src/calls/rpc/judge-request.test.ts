import assert from "node:assert/strict";
import { after, test } from "node:test";
import {
  create,
  createFileRegistry,
  type DescMethod,
  type DescService,
  type Message,
  setExtension,
} from "@bufbuild/protobuf";
import {
  FieldDescriptorProto_Label,
  FieldDescriptorProto_Type,
  FieldOptionsSchema,
  FileDescriptorProtoSchema,
  FileDescriptorSetSchema,
} from "@bufbuild/protobuf/wkt";
import { FieldRulesSchema, field } from "@bufbuild/protovalidate/gen/buf/validate/validate_pb.js";
import { isRpcError } from "../../errors/index.ts";
import { memoryPlatform } from "../../wire/transport/index.ts";
import { Channel } from "../channel/index.ts";
import type { Interceptor } from "./call.ts";
import type { CallOptions } from "./call-options.ts";
import { createClient } from "./client.ts";
import { type Handlers, implement } from "./implement.ts";
import { RpcServer } from "./server.ts";

type Count = Message & { value: number };

/** `Count.value` must be more than 0. */
const CountService = (() => {
  const options = create(FieldOptionsSchema);
  setExtension(
    options,
    field,
    create(FieldRulesSchema, { type: { case: "int32", value: { greaterThan: { case: "gt", value: 0 } } } }),
  );
  const type = ".count.Count";
  const file = create(FileDescriptorProtoSchema, {
    name: "count.proto",
    package: "count",
    syntax: "proto3",
    messageType: [
      {
        name: "Count",
        field: [
          {
            name: "value",
            jsonName: "value",
            number: 1,
            type: FieldDescriptorProto_Type.INT32,
            label: FieldDescriptorProto_Label.OPTIONAL,
            options,
          },
        ],
      },
    ],
    service: [
      {
        name: "CountService",
        method: [
          { name: "One", inputType: type, outputType: type },
          { name: "Sum", inputType: type, outputType: type, clientStreaming: true },
        ],
      },
    ],
  });
  const registry = createFileRegistry(create(FileDescriptorSetSchema, { file: [file] }));
  return registry.getService("count.CountService") as DescService;
})();

interface CountClient {
  one(request: { value: number }, options?: CallOptions): Promise<Count>;
  sum(requests: AsyncIterable<{ value: number }>, options?: CallOptions): Promise<Count>;
}

const platform = memoryPlatform();
let nextPort = 4000;

async function serve(...interceptors: readonly Interceptor[]) {
  const handled: number[] = [];
  const handlers = {
    one({ value }: Count) {
      handled.push(value);
      return { value };
    },
    async sum(requests: AsyncIterable<Count>) {
      let sum = 0;
      for await (const { value } of requests) {
        handled.push(value);
        sum += value;
      }
      return { value: sum };
    },
  };
  const services = [implement(CountService, handlers as unknown as Handlers<typeof CountService>)];
  const server = new RpcServer({ services, interceptors, platform });
  const { port } = await server.listen({ port: nextPort++, host: "127.0.0.1" });
  const channel = new Channel(`127.0.0.1:${port}`, { platform });
  after(async () => {
    channel.close();
    await server.close();
  });
  return { client: createClient(CountService, channel) as unknown as CountClient, handled };
}

async function* counts(...values: readonly number[]): AsyncIterable<{ value: number }> {
  for (const value of values) yield { value };
}

const broken = (error: unknown): boolean => isRpcError(error, "invalid_argument") && /^value: /.test(error.message);

test("a request that breaks a rule passes the interceptors, but does not reach the handler", async () => {
  const seen: unknown[] = [];
  const { client, handled } = await serve(async (call, next) => {
    seen.push((call.request as Count).value);
    return next();
  });
  await assert.rejects(client.one({ value: -1 }), broken);
  assert.equal((await client.one({ value: 1 })).value, 1);
  assert.deepEqual(seen, [-1, 1]);
  assert.deepEqual(handled, [1]);
});

test("a request that an interceptor puts in its place is judged as well", async () => {
  const { client, handled } = await serve(async (call, next) => {
    const request = call.request as Count;
    return next({ ...request, value: -request.value });
  });
  await assert.rejects(client.one({ value: 1 }), broken);
  assert.equal((await client.one({ value: -2 })).value, 2);
  assert.deepEqual(handled, [2]);
});

test("a message of a stream that breaks a rule ends the call when the handler takes it", async () => {
  for (const interceptors of [[], [(async (_, next) => next()) satisfies Interceptor]]) {
    const { client, handled } = await serve(...interceptors);
    await assert.rejects(client.sum(counts(1, 2, -3, 4)), broken);
    assert.deepEqual(handled, [1, 2]);
    assert.equal((await client.sum(counts(1, 2))).value, 3);
  }
});

test("a stream that an interceptor puts in its place is judged as well", async () => {
  const { input } = CountService.methods[0] as DescMethod;
  const { client } = await serve(async (_, next) =>
    next(
      (async function* () {
        for await (const count of counts(1, -1)) yield create(input, { value: count.value });
      })(),
    ),
  );
  await assert.rejects(client.sum(counts(1, 2)), broken);
});

test("a handler that swallows the error of its stream does not make a good answer of it", async () => {
  const services = [
    implement(CountService, {
      async sum(requests: AsyncIterable<Count>) {
        try {
          for await (const _ of requests);
        } catch {
          // as a careless handler does
        }
        return { value: 7 };
      },
    } as unknown as Handlers<typeof CountService>),
  ];
  const server = new RpcServer({ services, platform });
  const { port } = await server.listen({ port: nextPort++, host: "127.0.0.1" });
  const channel = new Channel(`127.0.0.1:${port}`, { platform });
  after(async () => {
    channel.close();
    await server.close();
  });
  const client = createClient(CountService, channel) as unknown as CountClient;
  await assert.rejects(client.sum(counts(-1)), broken);
});
