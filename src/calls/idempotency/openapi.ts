import type { Method } from "../../contract/index.ts";
import type { OperationAdditions } from "../rest/index.ts";
import type { Interceptor } from "../rpc/index.ts";
import type { IdempotencyInterceptor } from "./interceptor.ts";
import { keyPattern } from "./key.ts";

const description =
  "Makes the request safe to repeat: with the same key and the same request, the first answer comes again. " +
  "1 to 255 visible ASCII characters, also as a quoted string.";

const problem = { $ref: "#/components/responses/Problem" };

/** What `idempotency` among the interceptors of a server adds to the description of a method's operations. */
export function idempotencyAdditions(interceptors: readonly Interceptor[]): (method: Method) => OperationAdditions {
  const found = interceptors.filter(one => "keyUse" in one) as readonly IdempotencyInterceptor[];
  return method => {
    const uses = found.map(({ keyUse }) => keyUse(method));
    const isRequired = uses.includes("required");
    if (!isRequired && !uses.includes("optional")) return {};
    return {
      parameters: [
        {
          name: "Idempotency-Key",
          in: "header",
          required: isRequired,
          description,
          schema: { type: "string", minLength: 1, pattern: keyPattern },
        },
      ],
      responses: {
        // 409: a request with this key still runs. 422: the key was used for another request.
        "409": problem,
        "422": problem,
      },
      responseHeaders: {
        "Idempotent-Replayed": {
          description: "Whether this is the answer of an earlier request.",
          schema: { type: "string", enum: ["true"] },
        },
      },
    };
  };
}
