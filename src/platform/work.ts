import { contextKey } from "./context.ts";

/** How much a piece of work matters when there is too much to do. */
export type Priority = "critical" | "default" | "sheddable";

/** W3C Trace Context and Baggage, as they travel: the values of the headers of these names. */
export interface TraceContext {
  readonly traceparent: string;
  readonly tracestate: string | undefined;
  readonly baggage: string | undefined;
}

/** What a piece of work, a call being served or an event being handled, hands on to the work that it causes. */
export interface Work {
  /** Milliseconds left until the deadline, possibly negative; Infinity where there is none. Calls inherit it, events do not. */
  readonly timeLeftMs: number;
  readonly priority: Priority;
  /** Attempts at this piece of work before this one. */
  readonly attempt: number;
  /** Where it belongs in a trace; `undefined` where nobody traces. */
  readonly trace: TraceContext | undefined;
  /** Of work that is done for several others at once, such as a batch of events: theirs, since it has no one parent. */
  readonly links?: readonly TraceContext[] | undefined;
}

/** The piece of work that is running. */
export const currentWork = contextKey<Work>("work");

/** The trace context of carried headers, or `undefined` where they have none. */
export function traceOf(get: (name: string) => string | undefined): TraceContext | undefined {
  const traceparent = get("traceparent");
  if (traceparent === undefined) return undefined;
  return { traceparent, tracestate: get("tracestate"), baggage: get("baggage") };
}
