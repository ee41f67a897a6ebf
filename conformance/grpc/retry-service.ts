import { type Call, type Implementation, implement, RpcError } from "../../src/exports/index.ts";
import { type FailRequest, RetryService } from "./gen/retry_pb.ts";

interface Attempt {
  readonly atMs: number;
  readonly previous: string[];
}

/** retry.proto served by us; `retry/server` is its twin in Go. Pushback goes out as `retryAfterMs`, so it is a number here. */
export function retryService(): Implementation {
  const seen = new Map<string, Attempt[]>();

  function answer({ key, failures, pushback }: FailRequest, { metadata }: Call) {
    const attempts = seen.get(key) ?? [];
    seen.set(key, attempts);
    attempts.push({ atMs: performance.now(), previous: metadata.getAll("grpc-previous-rpc-attempts").map(String) });
    if (attempts.length > failures) return {};
    const retryAfterMs = pushback === undefined ? undefined : Number(pushback);
    throw new RpcError("unavailable", "as asked", { retryAfterMs });
  }

  return implement(RetryService, {
    marked: answer,
    unmarked: answer,
    seen({ key }) {
      const attempts = seen.get(key) ?? [];
      const firstMs = attempts[0]?.atMs ?? 0;
      return { attempts: attempts.map(({ atMs, previous }) => ({ afterMs: atMs - firstMs, previous })) };
    },
  });
}
