import type { HeaderField, RequestHead } from "../exchange.ts";
import { isTargetByte } from "./characters.ts";
import { fieldLine, meaningOf, outgoingLength, refuseField } from "./field-lines.ts";
import { isHost } from "./head-parser.ts";
import type { OutgoingBody } from "./outgoing-body.ts";

/**
 * Writes request heads. Method, path and authority of one caller are the same objects again and again: their part of the
 * head is kept.
 */
export class RequestHeadWriter {
  #method: HeaderField | undefined;
  #path: HeaderField | undefined;
  #authority: HeaderField | undefined;
  #start = "";

  /**
   * The head as latin1 text; `outgoing` is started with its framing.
   * @throws TypeError for method, target, authority or field that could split the request; nothing was done then.
   */
  write(head: RequestHead, fields: readonly HeaderField[], end: boolean, outgoing: OutgoingBody): string {
    let text = this.#firstLines(head);
    let length = head.contentLength;
    for (const field of fields) {
      switch (meaningOf(field.name)) {
        case "content-length": {
          const announced = outgoingLength(field.value);
          if (length !== undefined && length !== announced) {
            throw new TypeError(`cannot send content-length ${announced}: the request has ${length} bytes`);
          }
          length = announced;
          continue;
        }
        case "host":
        case "refused":
          refuseField(field.name);
          break;
        case "connection":
          if (!/^(?:close|keep-alive)$/i.test(field.value)) {
            throw new TypeError(`cannot send connection: ${field.value}; only close and keep-alive`);
          }
      }
      text += fieldLine(field);
    }
    if (end) {
      if (length !== undefined && length > 0) {
        throw new TypeError(`content-length ${length} on a request without body`);
      }
      outgoing.start("none");
      return `${text}${expectsBody(head.method.value) ? "content-length: 0\r\n\r\n" : "\r\n"}`;
    }
    if (length === undefined) {
      outgoing.start("chunked");
      return `${text}transfer-encoding: chunked\r\n\r\n`;
    }
    if (!Number.isSafeInteger(length) || length < 0) throw new TypeError(`${length} is not a number of bytes`);
    outgoing.start("length", length);
    return `${text}content-length: ${length}\r\n\r\n`;
  }

  #firstLines(head: RequestHead): string {
    if (head.path === this.#path && head.method === this.#method && head.authority === this.#authority) {
      return this.#start;
    }
    const method = head.method.value;
    const path = head.path.value;
    const authority = head.authority.value;
    if (!/^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(method) || method === "CONNECT") {
      throw new TypeError(`cannot send method ${JSON.stringify(method)}`);
    }
    if (!isSendableTarget(path, method))
      throw new TypeError(`cannot send target ${JSON.stringify(path.slice(0, 128))}`);
    if (!isHost(authority)) throw new TypeError(`cannot send authority ${JSON.stringify(authority.slice(0, 128))}`);
    this.#method = head.method;
    this.#path = head.path;
    this.#authority = head.authority;
    this.#start = `${method} ${path} HTTP/1.1\r\nhost: ${authority}\r\n`;
    return this.#start;
  }
}

/** A length is sent, even of nothing, where the method gives a body a meaning (RFC 9110, section 8.6). */
function expectsBody(method: string): boolean {
  return method === "POST" || method === "PUT" || method === "PATCH";
}

function isSendableTarget(path: string, method: string): boolean {
  if (path === "*") return method === "OPTIONS";
  if (path.charCodeAt(0) !== 0x2f) return false;
  for (let i = 1; i < path.length; i++) {
    const code = path.charCodeAt(i);
    if (code > 0x7f || isTargetByte[code] === 0) return false;
  }
  return true;
}
