import { ContractError, requestIsStream, type Service } from "../../contract/index.ts";
import { RestRoute } from "./route.ts";
import { RouteTable } from "./route-table.ts";

export type RestMatch =
  | { readonly kind: "none" }
  /** The path exists, but not with this method. */
  | { readonly kind: "wrong_verb"; readonly allow: readonly string[] }
  /** `segments`: the raw segments of the path. `query`: behind `?`, as sent. */
  | { readonly kind: "match"; readonly route: RestRoute; readonly segments: readonly string[]; readonly query: string };

export interface RestRoutesOptions {
  /** What is done with JSON members that the contract does not have. @default "reject" */
  readonly unknownFields?: "ignore" | "reject" | undefined;
}

/** All routes of some services. The more specific route wins whatever the order of declaration. */
export class RestRoutes {
  /** In the order of the contract. */
  readonly all: readonly RestRoute[];
  readonly #table = new RouteTable<RestRoute>();

  /** @throws ContractError for templates that do not parse, and for two routes of the same shape, naming both methods */
  constructor(services: readonly Service[], options: RestRoutesOptions = {}) {
    const all: RestRoute[] = [];
    for (const service of services) {
      for (const method of service.methods) {
        for (const binding of method.http) {
          const route = new RestRoute(service, method, binding, options.unknownFields ?? "reject");
          const name = `${method.service}.${method.name}`;
          if (requestIsStream(method.kind) && route.bodyKind === "none") {
            throw new ContractError(
              `${name}: ${binding.verb} ${binding.template} has no body, but the method takes a stream: say body: "*"`,
            );
          }
          const other = this.#table.add(route.verb, route.template, route);
          if (other !== undefined) {
            throw new ContractError(
              `${name} and ${other.method.service}.${other.method.name} both have the route ${binding.verb} ${binding.template}`,
            );
          }
          all.push(route);
        }
      }
    }
    this.all = all;
  }

  /** The route of a request, that of GET for HEAD; `target` is path and query as sent. */
  match(verb: string, target: string): RestMatch {
    const mark = target.indexOf("?");
    const found = this.#table.find(verb, mark === -1 ? target : target.slice(0, mark));
    if ("route" in found) {
      const { route, segments } = found;
      return { kind: "match", route, segments, query: mark === -1 ? "" : target.slice(mark + 1) };
    }
    if (found.length === 0) return { kind: "none" };
    const answersHead = found.includes("GET") && !found.includes("HEAD");
    return { kind: "wrong_verb", allow: answersHead ? [...found, "HEAD"] : found };
  }
}
