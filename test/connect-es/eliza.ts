import { Code, ConnectError, type ConnectRouter, decodeBinaryHeader, encodeBinaryHeader } from "@connectrpc/connect";
import { ElizaService, MisunderstandingSchema } from "../gen/eliza/v1/eliza_pb.ts";

/** What a handler's signal was aborted with, by the name that the caller gave the call. */
export const abortsSeen = new Map<string, PromiseWithResolvers<unknown>>();

export function abortOf(name: string): Promise<unknown> {
  return waiting(name).promise;
}

function waiting(name: string): PromiseWithResolvers<unknown> {
  let seen = abortsSeen.get(name);
  if (seen === undefined) {
    seen = Promise.withResolvers();
    abortsSeen.set(name, seen);
  }
  return seen;
}

/** Waits until the signal is aborted, tells {@link abortOf}, and rejects with the signal's reason. */
function untilAborted(signal: AbortSignal, name: string): Promise<never> {
  return new Promise((_resolve, reject) => {
    const aborted = () => {
      waiting(name).resolve(signal.reason);
      reject(signal.reason);
    };
    if (signal.aborted) aborted();
    else signal.addEventListener("abort", aborted);
  });
}

export function misunderstanding(sentence: string): ConnectError {
  return new ConnectError(
    `"${sentence}" is 50 % größer`,
    Code.FailedPrecondition,
    { "x-why": "because", "x-why-bin": encodeBinaryHeader(Uint8Array.of(0, 255, 7)) },
    [{ desc: MisunderstandingSchema, value: { sentence, times: 3 } }],
  );
}

/** Routes as an application with connect-es has them; the contract suite and the browser's page call them. */
export default function routes(router: ConnectRouter): void {
  router.service(ElizaService, {
    async say({ sentence }, context) {
      const asked = context.requestHeader.get("x-asked");
      if (asked !== null) context.responseHeader.set("x-head", `heard ${asked}`);
      const bytes = context.requestHeader.get("x-asked-bin");
      if (bytes !== null) {
        const reversed = decodeBinaryHeader(bytes).toReversed();
        context.responseTrailer.set("x-tail-bin", encodeBinaryHeader(reversed));
      }
      context.responseTrailer.append("x-tail", "one");
      context.responseTrailer.append("x-tail", "two");
      if (sentence.startsWith("fail")) throw misunderstanding(sentence);
      if (sentence.startsWith("break")) throw new Error("a secret");
      if (sentence.startsWith("wait")) await untilAborted(context.signal, sentence);
      return { sentence: `you said: ${sentence}` };
    },
    async *introduce({ name, sentences }, context) {
      context.responseHeader.set("x-head", "hello");
      context.responseTrailer.set("x-tail", "bye");
      for (let index = 0; index < sentences; index++) yield { sentence: `${name} ${index}` };
      if (name.startsWith("fail")) throw misunderstanding(name);
      if (name.startsWith("wait")) await untilAborted(context.signal, name);
    },
    async summarize(requests, context) {
      let sentences = 0;
      let characters = 0;
      for await (const { sentence } of requests) {
        if (sentence.startsWith("fail")) throw misunderstanding(sentence);
        sentences++;
        characters += sentence.length;
      }
      context.responseTrailer.set("x-tail", "heard");
      return { sentences, characters };
    },
    async *converse(requests, context) {
      for await (const { sentence } of requests) {
        if (sentence.startsWith("fail")) throw misunderstanding(sentence);
        yield { sentence: `you said: ${sentence}` };
      }
      context.responseTrailer.set("x-tail", "talked");
    },
  });
}
