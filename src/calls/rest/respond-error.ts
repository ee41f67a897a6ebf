import type { RpcError } from "../../errors/index.ts";
import { constantField, type HeaderField, type ServerExchange } from "../../wire/index.ts";
import { appendFields, Metadata, pushbackField, type ServerCall } from "../rpc/index.ts";
import { problem } from "./problem.ts";

const problemType = constantField("content-type", "application/problem+json");

/** The path of a request without its query: what a problem names as its instance. */
export function instanceOf(exchange: ServerExchange): string {
  const target = exchange.path.value;
  const query = target.indexOf("?");
  return query === -1 ? target : target.slice(0, query);
}

/** Ends a call with a problem, with what its handler and the error want in the head. */
export function respondError(call: ServerCall, error: RpcError, names: "json" | "proto"): void {
  const fields: HeaderField[] = [];
  if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
  if (call.closesConnection) fields.push(constantField("connection", "close"));
  respondProblem(call.exchange, error, fields, names);
}

export function respondProblem(
  exchange: ServerExchange,
  error: RpcError,
  fields: readonly HeaderField[],
  names: "json" | "proto" = "proto",
): void {
  const { status, body } = problem(error, instanceOf(exchange), names);
  const all = [problemType, ...fields];
  appendFields(all, new Metadata(error.metadata));
  const pushback = pushbackField(error);
  if (pushback !== undefined) all.push(pushback);
  exchange.respond(status, all, body);
}
