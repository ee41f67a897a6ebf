import type { Validate } from "../../contract/index.ts";
import type { RpcError } from "../../errors/index.ts";
import { InvalidRequestError } from "./invalid-request.ts";

/** Holds a message to the rules of its contract. @throws InvalidRequestError with what it breaks */
export function judge(message: object, validate: Validate): void {
  const violations = validate(message);
  if (violations.length > 0) throw new InvalidRequestError(violations);
}

/** The same stream, each message judged when it is taken. `refuse` ends the call and gives what the reader is told. */
export async function* judgedStream(
  messages: AsyncIterable<object>,
  validate: Validate,
  refuse: (cause: unknown) => RpcError,
): AsyncGenerator<object, void, undefined> {
  for await (const message of messages) {
    try {
      judge(message, validate);
    } catch (error) {
      throw refuse(error);
    }
    yield message;
  }
}
