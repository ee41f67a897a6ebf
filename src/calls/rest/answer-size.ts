import { RpcError } from "../../errors/index.ts";

/** @throws RpcError resource_exhausted for an answer, or a message of one, above the server's limit: its own fault */
export function checkAnswerSize(body: string | Uint8Array, bytesMax: number): void {
  // A character takes at most three bytes of UTF-8, so most texts need no counting.
  if (body.length * 3 <= bytesMax) return;
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.length;
  if (bytes <= bytesMax) return;
  const reason = `the answer of ${bytes} exceeds the limit of ${bytesMax} bytes`;
  throw new RpcError("resource_exhausted", reason, { httpStatus: 500 });
}
