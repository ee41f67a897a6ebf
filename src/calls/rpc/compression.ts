import {
  brotliCompressSync,
  brotliDecompressSync,
  deflateSync,
  gunzipSync,
  gzipSync,
  inflateSync,
  constants as zlib,
  zstdCompressSync,
  zstdDecompressSync,
} from "node:zlib";
import { RpcError } from "../../errors/index.ts";

/** A compression of messages, by its name in HTTP (`deflate` is the zlib format, RFC 9110, section 8.4.1.2). */
export type Encoding = "gzip" | "br" | "zstd" | "deflate";

/** The encodings that we read and write, in the order in which we prefer them. */
export const encodings: readonly Encoding[] = ["gzip", "br", "zstd", "deflate"];

/** The value of the fields that tell the peer what we read. */
export const acceptedEncodings = encodings.join(",");

export function isEncoding(name: string): name is Encoding {
  return (encodings as readonly string[]).includes(name);
}

/**
 * Bytes from which on a message is compressed by default: below it the saving is less than a packet, and compressing costs
 * more than sending.
 */
export const compressBytesMin = 1024;

/** The first encoding of an `accept-encoding` field that we can write; those with `q=0` are refused by the peer. */
export function firstAccepted(field: string | undefined): Encoding | undefined {
  for (const item of field?.split(",") ?? []) {
    const [name = "", ...parameters] = item.split(";");
    const trimmed = name.trim().toLowerCase();
    if (isEncoding(trimmed) && !parameters.some(one => /^\s*q\s*=\s*0(\.0*)?\s*$/i.test(one))) return trimmed;
  }
  return undefined;
}

/**
 * Compresses one message. Synchronous, and therefore at the fast levels: messages are small, and a trip through the thread
 * pool costs more than compressing 100 KiB.
 */
export function compress(encoding: Encoding, bytes: Uint8Array): Buffer {
  switch (encoding) {
    case "gzip":
      return gzipSync(bytes, { level: 3 });
    case "br":
      return brotliCompressSync(bytes, { params: { [zlib.BROTLI_PARAM_QUALITY]: 3 } });
    case "zstd":
      return zstdCompressSync(bytes);
    case "deflate":
      return deflateSync(bytes, { level: 3 });
  }
}

/** @throws RpcError unimplemented for an encoding that we do not read */
export function checkEncoding(name: string): asserts name is Encoding {
  if (isEncoding(name)) return;
  const supported = ["identity", ...encodings].join(", ");
  throw new RpcError("unimplemented", `compression "${name}" is not supported; supported are ${supported}`);
}

/**
 * Decompresses one message. The output is bounded while it is made, so that a bomb costs no more than the limit.
 * @throws RpcError unimplemented for an unknown encoding, resource_exhausted over the limit, invalid_argument for garbage
 */
export function decompress(encoding: string, bytes: Uint8Array, limit: number): Buffer {
  checkEncoding(encoding);
  // Encoders may make nothing out of nothing (zstd does); Connect says that an empty payload is not decompressed.
  if (bytes.length === 0) return Buffer.alloc(0);
  const options = { maxOutputLength: Math.max(1, limit) };
  try {
    switch (encoding) {
      case "gzip":
        return gunzipSync(bytes, options);
      case "br":
        return brotliDecompressSync(bytes, options);
      case "zstd":
        return zstdDecompressSync(bytes, options);
      case "deflate":
        return inflateSync(bytes, options);
    }
  } catch (error) {
    if (error instanceof RangeError) {
      const reason = `message exceeds the limit of ${limit} bytes after decompression`;
      throw new RpcError("resource_exhausted", reason, { httpStatus: 413 });
    }
    throw new RpcError("invalid_argument", `message is not valid ${encoding}`, { cause: error });
  }
}

/**
 * Decompresses a message of an answer: what the server may not send is its fault, not the caller's.
 * @throws RpcError internal, or resource_exhausted over the limit
 */
export function decompressAnswer(encoding: string, bytes: Uint8Array, limit: number): Buffer {
  try {
    return decompress(encoding, bytes, limit);
  } catch (error) {
    if (!(error instanceof RpcError) || error.code === "resource_exhausted") throw error;
    throw new RpcError("internal", `the answer does not decompress: ${error.message}`, { cause: error });
  }
}
