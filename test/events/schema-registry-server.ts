import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import type { AddressInfo } from "node:net";

interface Stored {
  readonly schema: string;
  readonly schemaType: string;
  readonly references: readonly { readonly name: string; readonly subject: string; readonly version: number }[];
}

/**
 * As much of Confluent's registry as its REST documentation says of what clients use: subjects, versions, lookups, ids, errors
 * with codes. Schemas are the same when their texts are; whether they are compatible is what a test says.
 */
export class SchemaRegistryServer implements AsyncDisposable {
  readonly subjects = new Map<string, number[]>();
  /** Requests, as `METHOD path`. */
  readonly requests: string[] = [];
  /** Says why a schema is not compatible with those of its subject. */
  incompatible: (subject: string) => string | undefined = () => undefined;
  /** What a request must carry as `authorization`. */
  authorization: string | undefined;
  readonly #schemas: Stored[] = [];
  #server: Server | undefined;
  #port = 0;

  static async start(): Promise<SchemaRegistryServer> {
    const registry = new SchemaRegistryServer();
    await registry.listen();
    return registry;
  }

  get url(): string {
    return `http://127.0.0.1:${this.#port}`;
  }

  /** On the port that it had. */
  async listen(): Promise<void> {
    this.#server = createServer((request, response) => {
      void this.#answer(request).then(({ status, body }) => {
        const text = JSON.stringify(body);
        const headers = {
          "content-type": "application/vnd.schemaregistry.v1+json",
          "content-length": Buffer.byteLength(text),
        };
        response.writeHead(status, headers).end(text);
      });
    }).listen(this.#port, "127.0.0.1");
    await once(this.#server, "listening");
    this.#port = (this.#server.address() as AddressInfo).port;
  }

  async stop(): Promise<void> {
    this.#server?.closeAllConnections();
    await new Promise(resolve => this.#server?.close(resolve));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** As another program registers it. @returns its id */
  add(subject: string, schema: string, schemaType = "PROTOBUF"): number {
    return this.#register(subject, { schema, schemaType, references: [] }).id;
  }

  #register(subject: string, stored: Stored): { id: number; version: number } {
    const versions = this.subjects.get(subject) ?? [];
    this.subjects.set(subject, versions);
    let id = this.#schemas.findIndex(one => isSame(one, stored)) + 1;
    if (id === 0) id = this.#schemas.push(stored);
    if (!versions.includes(id)) versions.push(id);
    return { id, version: versions.indexOf(id) + 1 };
  }

  async #answer(request: IncomingMessage): Promise<{ readonly status: number; readonly body: object }> {
    const { pathname } = new URL(request.url ?? "/", this.url);
    const path = pathname.split("/").slice(1).map(decodeURIComponent);
    this.requests.push(`${request.method} ${path.join("/")}`);
    const error = (status: number, code: number, message: string) => ({ status, body: { error_code: code, message } });
    if (this.authorization !== undefined && request.headers.authorization !== this.authorization) {
      return error(401, 401, "Unauthorized");
    }
    const pieces: Buffer[] = [];
    for await (const piece of request) pieces.push(piece as Buffer);
    const [root, name = "", last, version] = path;
    if (request.method === "GET" && root === "schemas" && name === "ids") {
      const found = this.#schemas[Number(last) - 1];
      return found === undefined ? error(404, 40403, `Schema ${last} not found`) : { status: 200, body: found };
    }
    if (request.method === "GET" && root === "subjects" && last === "versions") {
      const ids = this.subjects.get(name) ?? [];
      const number = version === "latest" ? ids.length : Number(version);
      const id = ids[number - 1];
      if (id === undefined) return error(404, 40402, "Version not found.");
      return { status: 200, body: { subject: name, id, version: number, ...this.#schemas[id - 1] } };
    }
    if (request.method !== "POST" || root !== "subjects") return error(404, 404, "HTTP 404 Not Found");
    const { schema, schemaType = "AVRO", references = [] } = JSON.parse(Buffer.concat(pieces).toString()) as Stored;
    const stored = { schema, schemaType, references };
    if (references.some(one => this.subjects.get(one.subject)?.[one.version - 1] === undefined)) {
      return error(422, 42201, `Invalid schema: no schema reference found for ${JSON.stringify(references)}`);
    }
    const ids = this.subjects.get(name) ?? [];
    const known = ids.find(id => isSame(this.#schemas[id - 1] as Stored, stored));
    if (last === "versions") {
      const why = known === undefined && ids.length > 0 ? this.incompatible(name) : undefined;
      if (why !== undefined) return error(409, 409, why);
      return { status: 200, body: { id: this.#register(name, stored).id } };
    }
    if (ids.length === 0) return error(404, 40401, `Subject '${name}' not found.`);
    if (known === undefined) return error(404, 40403, "Schema not found");
    return { status: 200, body: { subject: name, id: known, version: ids.indexOf(known) + 1, ...stored } };
  }
}

function isSame(one: Stored, other: Stored): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}
