import type { Clock } from "../../platform/index.ts";
import { HeaderField, type ServerExchange } from "../../wire/index.ts";
import type { RequestBody } from "./request-body.ts";

/** Fields that belong to a connection, or that the wire writes itself. */
const wireFields = new Set([
  "connection",
  "content-length",
  "date",
  "keep-alive",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Also one of another realm or copy: frameworks bring their own class. */
export function isResponse(value: unknown): value is Response {
  return Object.prototype.toString.call(value) === "[object Response]";
}

/**
 * Sends a response: a body that is there at once with its length, any other piece by piece as it comes, its head before.
 * When the caller leaves, the body's source hears of it at once.
 */
export async function sendResponse(
  exchange: ServerExchange,
  response: Response,
  request: RequestBody,
  clock: Clock,
): Promise<void> {
  const { body, status } = response;
  if (body === null || request.isAborted || exchange.method === "HEAD") {
    if (exchange.method === "HEAD") exchange.sendHead(status, fieldsOf(response, true), true);
    else if (!request.isAborted) exchange.respond(status, fieldsOf(response, false), undefined);
    await body?.cancel();
    return;
  }
  const fields = fieldsOf(response, false);
  const reader = (body as ReadableStream<Uint8Array>).getReader();
  const leave = () => void reader.cancel(request.signal.reason).catch(() => {});
  request.signal.addEventListener("abort", leave, { once: true });
  try {
    await sendBody(exchange, status, fields, reader, request, clock);
  } finally {
    request.signal.removeEventListener("abort", leave);
    await reader.cancel().catch(() => {});
  }
}

/** On HEAD the length is what the handler says it would be; otherwise the wire counts. */
function fieldsOf(response: Response, isHead: boolean): readonly HeaderField[] {
  const fields: HeaderField[] = [];
  for (const [name, value] of response.headers) {
    if (wireFields.has(name) && !(isHead && name === "content-length" && /^[0-9]+$/.test(value))) continue;
    fields.push(new HeaderField(name, value));
  }
  return fields;
}

async function sendBody(
  exchange: ServerExchange,
  status: number,
  fields: readonly HeaderField[],
  reader: ReadableStreamDefaultReader<Uint8Array>,
  request: RequestBody,
  clock: Clock,
): Promise<void> {
  let next = reader.read();
  let whole: Uint8Array | undefined;
  const first = await withinTurn(next, clock);
  if (first !== undefined && !first.done) {
    whole = bytesOf(first.value);
    next = reader.read();
  }
  const second = first === undefined || first.done ? first : await withinTurn(next, clock);
  if (request.isAborted) return;
  if (second?.done === true) {
    exchange.respond(status, fields, whole ?? new Uint8Array());
    return;
  }
  exchange.sendHead(status, fields, false);
  if (whole !== undefined) exchange.sendData(whole, false);
  for (;;) {
    const { done, value } = await next;
    if (request.isAborted) return;
    if (done) break;
    exchange.sendData(bytesOf(value), false);
    if (!exchange.isWritable) await request.untilWritable();
    next = reader.read();
  }
  exchange.sendTrailers([]);
}

/** What a read yields at once; `undefined` when it has to wait for something, which the caller then should not. */
function withinTurn<T>(read: Promise<T>, clock: Clock): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    read.then(resolve, reject);
    clock.endOfTurn(() => resolve(undefined));
  });
}

function bytesOf(piece: unknown): Uint8Array {
  if (piece instanceof Uint8Array) return piece;
  throw new TypeError(`the body of a response yields bytes (Uint8Array), this one yielded ${typeof piece}`);
}
