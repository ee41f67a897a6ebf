import { brotliDecompressSync, gunzipSync, inflateSync, zstdDecompressSync } from "node:zlib";
import { RpcError } from "../../errors/index.ts";

/** The encodings that we read, in the order in which we prefer them. */
export const acceptedEncodings = ["gzip", "br", "zstd", "deflate"] as const;

/**
 * Decompresses one message. The output is bounded while it is made, so that a bomb costs no more than the limit.
 * @throws RpcError unimplemented for an unknown encoding, resource_exhausted over the limit, invalid_argument for garbage
 */
export function decompress(encoding: string, bytes: Uint8Array, limit: number): Buffer {
  // Encoders may make nothing out of nothing (zstd does); Connect says that an empty payload is not decompressed.
  if (bytes.length === 0 && acceptedEncodings.some(accepted => accepted === encoding)) return Buffer.alloc(0);
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
      default:
        throw new RpcError(
          "unimplemented",
          `compression "${encoding}" is not supported; supported are identity, ${acceptedEncodings.join(", ")}`,
        );
    }
  } catch (error) {
    if (error instanceof RpcError) throw error;
    if (error instanceof RangeError) {
      throw new RpcError("resource_exhausted", `message exceeds the limit of ${limit} bytes after decompression`);
    }
    throw new RpcError("invalid_argument", `message is not valid ${encoding}`, { cause: error });
  }
}
