import { RpcError } from "../../errors/index.ts";
import { constantField, HeaderField, type ServerExchange } from "../../wire/index.ts";
import {
  appendFields,
  discardBody,
  type HttpHandler,
  Metadata,
  type RpcServer,
  type ServerCall,
  type ServerWire,
  WholeBody,
} from "../rpc/index.ts";
import { problem, statusPhrase } from "./problem.ts";
import type { RestRoute, RestRoutes } from "./routes.ts";

const json = constantField("content-type", "application/json");
const problemType = constantField("content-type", "application/problem+json");

/** A call that came by one of the contract's `google.api.http` routes. */
class RestServerWire implements ServerWire {
  readonly protocol = "rest";
  readonly #route: RestRoute;
  readonly #captures: readonly string[];
  readonly #query: string;
  readonly #body: WholeBody;
  #hasBody = false;

  constructor(route: RestRoute, captures: readonly string[], query: string, bodyBytesMax: number) {
    this.#route = route;
    this.#captures = captures;
    this.#query = query;
    this.#body = new WholeBody(bodyBytesMax);
  }

  data(_call: ServerCall, chunk: Buffer, start: number, end: number): void {
    this.#hasBody = true;
    this.#body.append(chunk, start, end);
  }

  ended(call: ServerCall): void {
    const text = this.#route.wantsBody && this.#hasBody ? this.#body.bytes().toString("utf8") : undefined;
    call.message(this.#route.request(this.#captures, this.#query, text), 0);
  }

  respond(call: ServerCall, message: object): void {
    const fields = [json];
    const location = this.#route.location(message);
    if (location !== undefined) fields.push(new HeaderField("location", location));
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    call.exchange.respond(this.#route.successStatus, fields, this.#route.response(message));
  }

  send(): void {
    throw new Error("a REST route answers once");
  }

  finish(call: ServerCall, error: RpcError | undefined): void {
    if (error === undefined) return;
    const fields: HeaderField[] = [];
    if (call.hasResponseHeaders) appendFields(fields, call.responseHeaders);
    appendFields(fields, new Metadata(error.metadata));
    respondProblem(call.exchange, error, fields);
  }
}

function respondProblem(
  exchange: ServerExchange,
  error: RpcError,
  fields: readonly HeaderField[],
  status?: number,
): void {
  const target = exchange.path.value;
  const query = target.indexOf("?");
  const answer = problem(error, query === -1 ? target : target.slice(0, query));
  const extra = [problemType, ...fields];
  if (error.retryAfterMs !== undefined && error.retryAfterMs >= 0) {
    extra.push(new HeaderField("retry-after", String(Math.ceil(error.retryAfterMs / 1000))));
  }
  if (status === undefined) {
    exchange.respond(answer.status, extra, answer.body);
    return;
  }
  exchange.respond(status, extra, JSON.stringify({ ...JSON.parse(answer.body), status, title: statusPhrase(status) }));
}

/** Serves the routes; also answers, as problems, for paths and verbs that there are not. The last of the handlers. */
export function restHandler(routes: RestRoutes): HttpHandler {
  return (exchange: ServerExchange, server: RpcServer) => {
    const verb = exchange.method === "HEAD" ? "GET" : exchange.method;
    const match = routes.match(verb, exchange.path.value);
    switch (match.kind) {
      case "none":
        discardBody(exchange);
        respondProblem(exchange, new RpcError("not_found", `nothing is served at ${exchange.path.value}`), []);
        return true;
      case "wrong_verb": {
        discardBody(exchange);
        const allow = new HeaderField("allow", [...match.allow, "OPTIONS"].join(", "));
        if (verb === "OPTIONS") exchange.respond(204, [allow], undefined);
        else
          respondProblem(
            exchange,
            new RpcError("unimplemented", `${verb} is not among the methods of this path`),
            [allow],
            405,
          );
        return true;
      }
      case "match": {
        const { route, captures, query } = match;
        const served = server.servedMethod(route.method.path);
        if (served === undefined) return false;
        if (route.wantsBody && !isJson(exchange.fields.get("content-type"))) {
          discardBody(exchange);
          const error = new RpcError("invalid_argument", "the body must be application/json");
          respondProblem(exchange, error, [new HeaderField("accept", "application/json")], 415);
          return true;
        }
        const limit = route.method.policy.requestBytesMax ?? server.receiveBytesMax;
        server.serve(exchange, served, new RestServerWire(route, captures, query, limit), () => timeoutOf(exchange));
        return true;
      }
    }
  };
}

/** JSON by media type, in UTF-8; a body without a type counts as JSON. */
function isJson(contentType: string | undefined): boolean {
  if (contentType === undefined) return true;
  return /^application\/json\s*(;\s*charset\s*=\s*"?utf-8"?\s*)?$/i.test(contentType.trim());
}

function timeoutOf(exchange: ServerExchange): number | undefined {
  const text = exchange.fields.get("x-request-timeout-ms");
  if (text === undefined) return undefined;
  if (!/^[0-9]{1,10}$/.test(text)) {
    throw new RpcError("invalid_argument", `x-request-timeout-ms "${text}" is not 1 to 10 digits`);
  }
  return Number(text);
}
