// Runs in the browser: calls our server from another origin with @connectrpc/connect-web, and posts what came of it to its own.
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcWebTransport } from "@connectrpc/connect-web";
import { ElizaService, MisunderstandingSchema } from "../gen/eliza/v1/eliza_pb.ts";
import type { Verdict } from "./verdict.ts";

/** Put in when the page is built. */
declare const apiUrl: string;

const verdicts: Verdict[] = [];

async function judge(name: string, run: () => Promise<unknown>): Promise<void> {
  try {
    verdicts.push({ name, result: await run() });
  } catch (error) {
    verdicts.push({ name, error: String(error) });
  }
}

async function collect(messages: AsyncIterable<{ sentence: string }>): Promise<string[]> {
  const seen: string[] = [];
  for await (const { sentence } of messages) seen.push(sentence);
  return seen;
}

async function failureOf(call: () => Promise<unknown>): Promise<unknown> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof ConnectError)) throw error;
    const detail = error.findDetails(MisunderstandingSchema)[0];
    return {
      code: Code[error.code],
      message: error.rawMessage,
      why: error.metadata.get("x-why"),
      times: detail?.times,
    };
  }
  throw new Error("the call did not fail");
}

async function judgeTransport(title: string, transport: Transport): Promise<void> {
  const client = createClient(ElizaService, transport);
  await judge(`${title}: unary with metadata both ways`, async () => {
    const seen: Record<string, unknown> = {};
    const { sentence } = await client.say(
      { sentence: "é" },
      {
        headers: { "x-asked": "from a page" },
        onHeader: header => {
          seen["head"] = header.get("x-head");
        },
        onTrailer: trailer => {
          seen["tail"] = trailer.get("x-tail");
        },
      },
    );
    return { sentence, ...seen };
  });
  await judge(`${title}: server stream`, () => collect(client.introduce({ name: "page", sentences: 3 })));
  await judge(`${title}: error with details`, () => failureOf(() => client.say({ sentence: "fail" })));
  await judge(`${title}: error in a stream`, () => failureOf(() => collect(client.introduce({ name: "fail" }))));
  await judge(`${title}: deadline`, async () => {
    const failure = await failureOf(() => client.say({ sentence: "wait in the browser" }, { timeoutMs: 100 }));
    return (failure as { code: string }).code;
  });
}

await judgeTransport("Connect", createConnectTransport({ baseUrl: apiUrl }));
await judgeTransport("Connect, binary", createConnectTransport({ baseUrl: apiUrl, useBinaryFormat: true }));
await judgeTransport("Connect with GET", createConnectTransport({ baseUrl: apiUrl, useHttpGet: true }));
await judgeTransport("gRPC-Web", createGrpcWebTransport({ baseUrl: apiUrl }));

await judge("fetch of a REST route", async () => {
  const answer = await fetch(`${apiUrl}/v1/say/hello?`, { headers: { "x-asked": "fetch" } });
  return { status: answer.status, body: await answer.json(), head: answer.headers.get("x-head") };
});
await judge("fetch of a REST problem", async () => {
  const answer = await fetch(`${apiUrl}/v1/say/fail`);
  const { code, detail } = (await answer.json()) as Record<string, unknown>;
  return { status: answer.status, type: answer.headers.get("content-type"), code, detail };
});
await judge("EventSource of a stream", () => {
  return new Promise((resolve, reject) => {
    const source = new EventSource(`${apiUrl}/v1/introduce/page?sentences=3`);
    const seen: unknown[] = [];
    source.onmessage = ({ data, lastEventId }) => {
      seen.push([lastEventId, JSON.parse(data)]);
      if (seen.length < 3) return;
      source.close();
      resolve(seen);
    };
    source.onerror = () => {
      source.close();
      reject(new Error(`the stream broke after ${seen.length} events`));
    };
  });
});

await fetch("/verdicts", { method: "POST", body: JSON.stringify(verdicts) });
