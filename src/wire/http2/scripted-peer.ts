import { type ByteStream, type ByteStreamHandler, ByteWriter, type ObservedEvent } from "../../platform/index.ts";
import { VirtualClock } from "../../platform/virtual/index.ts";
import {
  type BodyReceiver,
  constantField,
  type ExchangeError,
  type FieldList,
  HeaderField,
  type ResponseReceiver,
  type ServerExchange,
} from "../exchange.ts";
import { Http2ClientConnection, type Http2ClientConnectionOptions } from "./client-connection.ts";
import { clientPreface, Flag, FrameType, putFrameHeader, putUint32, uint31, uint32 } from "./frames.ts";
import { HpackDecoder, HpackEncoder } from "./hpack/index.ts";
import type { Http2Limits } from "./limits.ts";
import { Http2ServerConnection } from "./server-connection.ts";

/** A frame that the connection under test sent. */
export interface SentFrame {
  readonly type: number;
  readonly flags: number;
  readonly streamId: number;
  readonly payload: Buffer;
}

/** For tests: a stream whose other end is the test. Chunks are overwritten after each call, as a real stream's may be. */
export class ScriptedStream implements ByteStream {
  handler: ByteStreamHandler = { data() {}, drained() {}, ended() {}, closed() {} };
  readonly remoteAddress = "192.0.2.1";
  readonly remotePort = 40_000;
  readonly localPort = 443;
  readonly tls = undefined;
  bufferedBytes = 0;
  /** What `write` answers. */
  hasRoom = true;
  isPaused = false;
  isEnded = false;
  isDestroyed = false;
  writes = 0;
  #written: Buffer[] = [];

  arrive(bytes: Uint8Array): void {
    const chunk = Buffer.from(bytes);
    this.handler.data(chunk);
    chunk.fill(0x21);
  }

  write(chunk: Uint8Array): boolean {
    this.writes++;
    if (!this.isEnded && !this.isDestroyed) this.#written.push(Buffer.from(chunk));
    return this.hasRoom;
  }

  writeAll(chunks: readonly Uint8Array[]): boolean {
    return this.write(Buffer.concat(chunks));
  }

  pause(): void {
    this.isPaused = true;
  }

  resume(): void {
    this.isPaused = false;
  }

  holdProcess(): void {}

  end(): void {
    this.isEnded = true;
  }

  destroy(error?: Error): void {
    if (this.isDestroyed) return;
    this.isDestroyed = true;
    this.handler.closed(error);
  }

  takeBytes(): Buffer {
    const bytes = Buffer.concat(this.#written);
    this.#written = [];
    return bytes;
  }
}

/** Everything written since the last look, cut into frames. */
export function takeFrames(stream: ScriptedStream): SentFrame[] {
  let bytes = stream.takeBytes();
  if (bytes.subarray(0, clientPreface.length).equals(clientPreface)) bytes = bytes.subarray(clientPreface.length);
  const frames: SentFrame[] = [];
  for (let at = 0; at < bytes.length; ) {
    const end = at + 9 + bytes.readUIntBE(at, 3);
    frames.push({
      type: bytes[at + 3]!,
      flags: bytes[at + 4]!,
      streamId: uint31(bytes, at + 5),
      payload: bytes.subarray(at + 9, end),
    });
    at = end;
  }
  return frames;
}

/** A raw frame. */
export function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const bytes = Buffer.alloc(9 + payload.length);
  putFrameHeader(bytes, 0, payload.length, type, flags, streamId);
  bytes.set(payload, 9);
  return bytes;
}

export function uint32Bytes(...values: number[]): Buffer {
  const bytes = Buffer.alloc(values.length * 4);
  values.forEach((value, index) => {
    putUint32(bytes, index * 4, value);
  });
  return bytes;
}

export function settingsFrame(...settings: [id: number, value: number][]): Buffer {
  const payload = settings.map(([id, value]) => Buffer.concat([Buffer.from([id >> 8, id]), uint32Bytes(value)]));
  return frame(FrameType.settings, 0, 0, Buffer.concat(payload));
}

export function resetFrame(streamId: number, code = 8): Buffer {
  return frame(FrameType.rstStream, 0, streamId, uint32Bytes(code));
}

export function windowUpdateFrame(streamId: number, increment: number): Buffer {
  return frame(FrameType.windowUpdate, 0, streamId, uint32Bytes(increment));
}

export function dataFrame(streamId: number, payload: Uint8Array | string, flags = 0): Buffer {
  return frame(FrameType.data, flags, streamId, Buffer.from(payload));
}

/** The peer's header compression, both directions; the wire's own codec, which is tested against the RFC elsewhere. */
export class PeerHpack {
  readonly #encoder = new HpackEncoder();
  readonly #decoder = new HpackDecoder();

  block(fields: readonly (readonly [name: string, value: string])[]): Buffer {
    const writer = new ByteWriter();
    this.#encoder.beginBlock(writer);
    for (const [name, value] of fields) this.#encoder.encode(writer, new HeaderField(name, value));
    return writer.copyFrom(0);
  }

  headers(streamId: number, fields: readonly (readonly [string, string])[], flags: number = Flag.endStream): Buffer {
    return frame(FrameType.headers, flags | Flag.endHeaders, streamId, this.block(fields));
  }

  fieldsOf(sent: SentFrame): [string, string][] {
    const fields: [string, string][] = [];
    const sink = { field: (field: HeaderField) => void fields.push([field.name, field.value]) };
    this.#decoder.decode(sent.payload, 0, sent.payload.length, sink, 1 << 20);
    return fields;
  }
}

export const getRequest: readonly (readonly [string, string])[] = [
  [":method", "GET"],
  [":scheme", "http"],
  [":authority", "example.test"],
  [":path", "/"],
];
export const postRequest: readonly (readonly [string, string])[] = [[":method", "POST"], ...getRequest.slice(1)];

/** What a receiver heard, as short lines: `data 5`, `ended`, `aborted reset`. */
export class Recorder implements ResponseReceiver {
  readonly heard: string[] = [];
  bodyText = "";
  trailers: FieldList | undefined;
  error: ExchangeError | undefined;
  status = 0;
  fields: FieldList | undefined;
  onData: ((bytes: number) => void) | undefined;

  head(status: number, fields: FieldList): void {
    this.status = status;
    this.fields = fields;
    this.heard.push(`head ${status}`);
  }
  data(chunk: Buffer, start: number, end: number): void {
    this.bodyText += chunk.toString("latin1", start, end);
    this.heard.push(`data ${end - start}`);
    this.onData?.(end - start);
  }
  ended(trailers: FieldList | undefined): void {
    this.trailers = trailers;
    this.heard.push("ended");
  }
  aborted(error: ExchangeError): void {
    this.error = error;
    this.heard.push(`aborted ${error.reason}`);
  }
  writable(): void {
    this.heard.push("writable");
  }
}

export interface SeenRequest {
  readonly exchange: ServerExchange;
  readonly recorder: Recorder;
}

/** A server connection whose client is the test. */
export class ServerUnderTest {
  readonly stream = new ScriptedStream();
  readonly clock = new VirtualClock();
  readonly events: ObservedEvent[] = [];
  readonly requests: SeenRequest[] = [];
  readonly hpack = new PeerHpack();
  readonly connection: Http2ServerConnection;
  closedWith: Error | undefined;
  isClosed = false;

  constructor(
    limits: Partial<Http2Limits> = {},
    onRequest: (exchange: ServerExchange, recorder: Recorder) => BodyReceiver = (_, recorder) => recorder,
  ) {
    this.connection = new Http2ServerConnection({
      stream: this.stream,
      clock: this.clock,
      observer: { emit: event => void this.events.push(event) },
      limits,
      scheme: "http",
      handler: {
        request: exchange => {
          const recorder = new Recorder();
          this.requests.push({ exchange, recorder });
          exchange.receiver = onRequest(exchange, recorder);
        },
        closed: error => {
          this.isClosed = true;
          this.closedWith = error;
        },
      },
    });
    this.stream.handler = this.connection;
  }

  /** Preface and SETTINGS in both directions; what the server said first is dropped. */
  open(...settings: [id: number, value: number][]): this {
    this.connection.start();
    this.arrive(clientPreface, settingsFrame(...settings), frame(FrameType.settings, Flag.ack, 0));
    this.frames();
    return this;
  }

  arrive(...parts: Uint8Array[]): void {
    this.stream.arrive(Buffer.concat(parts));
  }

  get(streamId: number): void {
    this.arrive(this.hpack.headers(streamId, getRequest));
  }

  /** Frames sent since the last look, those of the turn that ends included. */
  frames(): SentFrame[] {
    this.connection.flush();
    return takeFrames(this.stream);
  }

  /** Code and debug text of the GOAWAY among the last frames. */
  goaway(): { code: number; token: string; lastStreamId: number } | undefined {
    const sent = this.frames().find(candidate => candidate.type === FrameType.goaway);
    if (sent === undefined) return undefined;
    return {
      lastStreamId: uint31(sent.payload, 0),
      code: uint32(sent.payload, 4),
      token: sent.payload.toString("latin1", 8),
    };
  }
}

export const requestHead = {
  method: constantField(":method", "POST"),
  scheme: constantField(":scheme", "http"),
  authority: new HeaderField(":authority", "example.test"),
  path: constantField(":path", "/test.Service/Call"),
};

/** A client connection whose server is the test. */
export class ClientUnderTest {
  readonly stream = new ScriptedStream();
  readonly clock = new VirtualClock();
  readonly hpack = new PeerHpack();
  readonly told: string[] = [];
  readonly connection: Http2ClientConnection;

  constructor(options: Partial<Pick<Http2ClientConnectionOptions, "limits" | "keepalive">> = {}) {
    this.connection = new Http2ClientConnection({
      stream: this.stream,
      clock: this.clock,
      observer: { emit() {} },
      handler: {
        capacityChanged: () => void this.told.push("capacity"),
        draining: () => void this.told.push("draining"),
        closed: error => void this.told.push(error === undefined ? "closed" : `closed ${error.message}`),
      },
      ...options,
    });
    this.stream.handler = this.connection;
  }

  open(...settings: [id: number, value: number][]): this {
    this.connection.start();
    this.frames();
    this.stream.arrive(Buffer.concat([settingsFrame(...settings), frame(FrameType.settings, Flag.ack, 0)]));
    this.frames();
    return this;
  }

  arrive(...parts: Uint8Array[]): void {
    this.stream.arrive(Buffer.concat(parts));
  }

  frames(): SentFrame[] {
    this.connection.flush();
    return takeFrames(this.stream);
  }
}
