import type { Interceptor } from "@connectrpc/connect";
import { Channel } from "../channel/index.ts";
import type { ClientOptions } from "../rpc/index.ts";

/** What a transport is made with: the options of a client, with connect-es's interceptors in the place of ours. */
export interface TransportOptions extends Omit<ClientOptions, "interceptors"> {
  /** connect-es's interceptors, the first one outermost. */
  readonly interceptors?: readonly Interceptor[] | undefined;
  /** Milliseconds for calls that name no deadline; a call's `timeoutMs: 0` switches it off. @default 30,000 (unary) */
  readonly defaultTimeoutMs?: number | undefined;
}

/** Options as connect-es's transports take them, with the server among them. */
export interface TransportOptionsWithBaseUrl extends TransportOptions {
  /** `http://host:port` or `https://host:port`, without a path. */
  readonly baseUrl: string | URL;
}

/** Options of connect-es's transports that are called otherwise here, or are not needed. */
const foreign: Readonly<Record<string, string>> = {
  acceptCompression: "answers may always be compressed: leave it out",
  binaryOptions: "unknown fields are always kept: leave it out",
  compressMinBytes: "use compressBytesMin",
  fetch: "a transport has connections of its own: leave it out",
  httpClient: "a transport has connections of its own: leave it out",
  jsonOptions: "Any is resolved with the files that the contract imports: leave it out",
  nodeOptions: "use tls: { ca, cert, key, serverName }",
  readMaxBytes: "use limits: { receiveBytesMax }",
  sendCompression: 'use compression: "gzip", "br", "zstd" or "deflate"',
  sessionManager: "share a channel instead: createTransport(createChannel(…))",
  useBinaryFormat: 'use codec: "binary" or "json"',
  writeMaxBytes: "use limits: { sendBytesMax }",
};

/** @throws TypeError for an option of connect-es that would have no effect here, with what to use */
export function refuseForeignOptions(caller: string, options: object, table: Readonly<Record<string, string>>): void {
  for (const [name, advice] of Object.entries(table)) {
    if ((options as Record<string, unknown>)[name] !== undefined) {
      throw new TypeError(`${caller}: the option ${name} has no effect here; ${advice}`);
    }
  }
}

/** Where a transport's calls go. */
export interface Destination {
  readonly channel: Channel;
  /** The transport made the channel, and ends it. */
  readonly isOwned: boolean;
  /** What interceptors see before the path of the method. */
  readonly baseUrl: string;
}

/** @throws TypeError for a target that does not parse, or options that do not fit together */
export function destinationOf(target: string | Channel, options: TransportOptions): Destination {
  refuseForeignOptions("createTransport", options, foreign);
  const { defaultTimeoutMs } = options;
  if (defaultTimeoutMs !== undefined && !(defaultTimeoutMs >= 0)) {
    throw new TypeError(`createTransport: defaultTimeoutMs is ${defaultTimeoutMs}; it must be 0 or more`);
  }
  if (target instanceof Channel) return { channel: target, isOwned: false, baseUrl: baseUrlOf(target) };
  const channel = /^https?:\/\//i.test(target) ? channelOfUrl(target, options) : new Channel(target, options);
  return { channel, isOwned: true, baseUrl: baseUrlOf(channel) };
}

function channelOfUrl(text: string, options: TransportOptions): Channel {
  if (!URL.canParse(text)) throw new TypeError(`createTransport: "${text}" is not a URL`);
  const url = new URL(text);
  if (url.pathname !== "/" || url.search !== "" || url.hash !== "" || url.username !== "") {
    throw new TypeError(
      `createTransport: "${text}" has more than a host and a port; calls go to the paths of the contract`,
    );
  }
  const isTls = url.protocol === "https:";
  if (!isTls && options.tls !== undefined) {
    throw new TypeError(`createTransport: the option tls does not fit "${text}"; use https://`);
  }
  const port = url.port === "" ? (isTls ? "443" : "80") : url.port;
  return new Channel(`${url.hostname}:${port}`, isTls ? { ...options, tls: options.tls ?? {} } : options);
}

function baseUrlOf({ scheme, target }: Channel): string {
  const addresses = target.slice(target.indexOf("///") === -1 ? 0 : target.indexOf("///") + 3);
  return `${scheme.value}://${addresses.split(",", 1)[0]?.trim()}`;
}
