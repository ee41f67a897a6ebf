import { percentDecode, type Template } from "./template.ts";

/** What was found for a request: the route and the raw segments of its path, without the verb. */
export interface Found<T> {
  readonly route: T;
  readonly segments: readonly string[];
}

/** One place in the tree of segments; `ends` are the routes whose templates end here. */
interface Node<T> {
  readonly literals: Map<string, Node<T>>;
  one: Node<T> | undefined;
  readonly ends: Ends<T>;
  /** Routes that end with `**` here. */
  readonly open: Ends<T>;
}

/** Routes by verb of the template (`""`: none), then by HTTP method. */
type Ends<T> = Map<string, Map<string, T>>;

/**
 * Routes by path template and HTTP method. Whatever the order of declaration, at the first segment where two templates
 * differ a literal beats `*`, and `*` beats `**`; of two that end in `**` the longer one wins, and one that ends without
 * beats both. A path that fits a template with a verb
 * belongs to it, whatever its method. The source of these rules is `google/api/http.proto`, and where
 * that is silent, what grpc-gateway and Envoy document.
 *
 * A look-up visits each place of the tree once at most, so its cost is bounded by the routes, not by the path.
 */
export class RouteTable<T> {
  readonly #root: Node<T> = node();
  readonly #verbs = new Set<string>();

  /** @returns the route that is there already, in which case nothing is added */
  add(httpMethod: string, template: Template, route: T): T | undefined {
    let place = this.#root;
    let isOpen = false;
    for (const segment of template.segments) {
      if (segment.kind === "rest") {
        isOpen = true;
      } else if (segment.kind === "one") {
        place.one ??= node();
        place = place.one;
      } else {
        const next = place.literals.get(segment.text) ?? node();
        place.literals.set(segment.text, next);
        place = next;
      }
    }
    if (template.verb !== "") this.#verbs.add(template.verb);
    const ends = isOpen ? place.open : place.ends;
    const byMethod = ends.get(template.verb) ?? new Map<string, T>();
    const other = byMethod.get(httpMethod);
    if (other !== undefined) return other;
    ends.set(template.verb, byMethod.set(httpMethod, route));
    return undefined;
  }

  /** The route of a path (without query, as sent), or the HTTP methods that there are for it. */
  find(httpMethod: string, path: string): Found<T> | readonly string[] {
    const segments = path.split("/");
    segments.shift();
    if (path === "/") segments.pop();
    const allowed: string[] = [];
    const last = segments[segments.length - 1] ?? "";
    const colon = this.#verbs.size === 0 ? -1 : last.lastIndexOf(":");
    if (colon !== -1) {
      const verb = percentDecode(last.slice(colon + 1));
      if (verb !== undefined && this.#verbs.has(verb)) {
        const bare = segments.with(-1, last.slice(0, colon));
        const route = search(this.#root, bare, 0, verb, httpMethod, allowed);
        if (route !== undefined) return { route, segments: bare };
        // It is that verb's path, with another method: not one whose last segment happens to have a colon.
        if (allowed.length > 0) return allowed;
      }
    }
    const route = search(this.#root, segments, 0, "", httpMethod, allowed);
    return route === undefined ? allowed : { route, segments };
  }
}

function node<T>(): Node<T> {
  return { literals: new Map(), one: undefined, ends: new Map(), open: new Map() };
}

function search<T>(
  place: Node<T>,
  segments: readonly string[],
  index: number,
  verb: string,
  httpMethod: string,
  allowed: string[],
): T | undefined {
  const segment = segments[index];
  if (segment === undefined) {
    const found = take(place.ends, verb, httpMethod, allowed);
    if (found !== undefined) return found;
  } else {
    if (place.literals.size > 0) {
      const text = percentDecode(segment);
      const next = text === undefined ? undefined : place.literals.get(text);
      const found = next === undefined ? undefined : search(next, segments, index + 1, verb, httpMethod, allowed);
      if (found !== undefined) return found;
    }
    if (place.one !== undefined && segment !== "") {
      const found = search(place.one, segments, index + 1, verb, httpMethod, allowed);
      if (found !== undefined) return found;
    }
  }
  return take(place.open, verb, httpMethod, allowed);
}

/**
 * A route of GET answers HEAD too, unless a custom rule of kind `HEAD` does; one of kind `*` takes the methods that no
 * other route of the template has.
 */
function take<T>(ends: Ends<T>, verb: string, httpMethod: string, allowed: string[]): T | undefined {
  const byMethod = ends.get(verb);
  if (byMethod === undefined) return undefined;
  let found = byMethod.get(httpMethod);
  if (found === undefined && httpMethod === "HEAD") found = byMethod.get("GET");
  found ??= byMethod.get("*");
  if (found === undefined) {
    for (const method of byMethod.keys()) if (!allowed.includes(method)) allowed.push(method);
  }
  return found;
}
