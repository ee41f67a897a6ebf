import type { DescMethod } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { connectErrorOf } from "./connect-error.ts";

/** The one message of a request that connect-es hands over as a stream. @throws ConnectError unless there is exactly one */
export async function singleMessage(input: AsyncIterable<unknown>, method: DescMethod): Promise<unknown> {
  const iterator = input[Symbol.asyncIterator]();
  const first = await iterator.next();
  if (first.done === true) {
    throw new ConnectError(`${method.name} takes one message, but none was given`, Code.Unimplemented);
  }
  const second = await iterator.next();
  if (second.done === true) return first.value;
  await iterator.return?.();
  throw new ConnectError(`${method.name} takes one message, but more were given`, Code.Unimplemented);
}

/**
 * The messages of an answer, once its head has come: what `response.header` holds is complete. `answer` is what our call
 * resolved with: an iterable, or the only message.
 * @throws (rejects) when the call fails before
 */
export async function streamedAnswer(
  method: DescMethod,
  answer: unknown,
  headArrived: Promise<void>,
): Promise<AsyncIterable<unknown>> {
  if (method.methodKind === "client_streaming") return only(answer);
  const messages = (answer as AsyncIterable<unknown>)[Symbol.asyncIterator]();
  const first = messages.next();
  // It fails where it is read.
  first.catch(() => {});
  await Promise.race([headArrived, first]);
  return new AnswerMessages(messages, first);
}

async function* only(message: unknown): AsyncIterable<unknown> {
  yield message;
}

/** The messages of a stream with connect-es's errors. Not a generator: that would cost three promises for each message. */
class AnswerMessages implements AsyncIterableIterator<unknown> {
  readonly #messages: AsyncIterator<unknown>;
  #first: Promise<IteratorResult<unknown>> | undefined;

  constructor(messages: AsyncIterator<unknown>, first: Promise<IteratorResult<unknown>>) {
    this.#messages = messages;
    this.#first = first;
  }

  next(): Promise<IteratorResult<unknown>> {
    const first = this.#first;
    this.#first = undefined;
    return (first ?? this.#messages.next()).catch(rethrow);
  }

  async return(value?: unknown): Promise<IteratorResult<unknown>> {
    this.#first = undefined;
    await this.#messages.return?.();
    return { done: true, value };
  }

  async throw(error: unknown): Promise<IteratorResult<unknown>> {
    await this.return();
    throw connectErrorOf(error);
  }

  [Symbol.asyncIterator](): this {
    return this;
  }
}

function rethrow(error: unknown): never {
  throw connectErrorOf(error);
}
