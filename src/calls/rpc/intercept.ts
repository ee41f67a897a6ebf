import type { CallState, Interceptor } from "./call.ts";

/** Leads a request through `interceptors`, the first one outermost, and what they let pass to `last`. */
export async function intercept(
  call: CallState,
  interceptors: readonly Interceptor[],
  request: unknown,
  last: (request: unknown) => unknown,
  index = 0,
): Promise<unknown> {
  call.request = request;
  const interceptor = interceptors[index];
  if (interceptor === undefined) return last(request);
  return interceptor(call, (replaced = request) => intercept(call, interceptors, replaced, last, index + 1));
}
