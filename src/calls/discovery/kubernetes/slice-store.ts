import { slicesMax } from "../limits.ts";
import { type EndpointSlice, isJsonObject, MalformedObject, metadataOf, parseEndpointSlice } from "./endpoint-slice.ts";

/** The version that was asked for is too old: only a new list helps (410 Gone, also as an event). */
export class ResourceVersionGone extends Error {
  override readonly name = "ResourceVersionGone";
}

/** The slices of a Service as the lists and events of the API say. */
export class SliceStore {
  readonly #slices = new Map<string, EndpointSlice>();
  #resourceVersion = "";

  /** Where the next watch begins. */
  get resourceVersion(): string {
    return this.#resourceVersion;
  }

  get slices(): Iterable<EndpointSlice> {
    return this.#slices.values();
  }

  get size(): number {
    return this.#slices.size;
  }

  /** Takes a whole list. */
  replace(slices: readonly EndpointSlice[], resourceVersion: string): void {
    this.#slices.clear();
    for (const slice of slices) this.#put(slice);
    this.#resourceVersion = resourceVersion;
  }

  /**
   * Takes a line of a watch. Answers whether the slices have changed.
   * @throws ResourceVersionGone; MalformedObject when the line is none of the API's events
   */
  apply(line: string): boolean {
    let event: unknown;
    try {
      event = JSON.parse(line);
    } catch (cause) {
      throw new MalformedObject(`a line of the watch is not JSON: ${(cause as Error).message}`);
    }
    if (!isJsonObject(event) || !isJsonObject(event.object))
      throw new MalformedObject("a line of the watch is no event");
    const { type, object } = event;
    switch (type) {
      case "ADDED":
      case "MODIFIED": {
        const slice = parseEndpointSlice(object);
        this.#put(slice);
        this.#resourceVersion = slice.resourceVersion;
        return true;
      }
      case "DELETED": {
        const { name, resourceVersion } = metadataOf(object);
        this.#resourceVersion = resourceVersion;
        return this.#slices.delete(name);
      }
      case "BOOKMARK":
        this.#resourceVersion = metadataOf(object).resourceVersion;
        return false;
      case "ERROR": {
        const message = `the watch reports ${String(object.code)}: ${String(object.message)}`;
        throw object.code === 410 ? new ResourceVersionGone(message) : new Error(message);
      }
      default:
        throw new MalformedObject(`a watch has no events of the type ${JSON.stringify(type)?.slice(0, 50)}`);
    }
  }

  #put(slice: EndpointSlice): void {
    this.#slices.set(slice.name, slice);
    if (this.#slices.size > slicesMax)
      throw new MalformedObject(`the Service has more than ${slicesMax} EndpointSlices`);
  }
}
