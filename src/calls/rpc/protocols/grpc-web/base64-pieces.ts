import { RpcError } from "../../../../errors/index.ts";

const groupChars = 4;

/**
 * Decodes base64 that comes in pieces: cut anywhere, and padded not only at the end but wherever the sender flushed
 * (grpc/doc/PROTOCOL-WEB, "HTTP wire protocols").
 */
export class Base64Pieces {
  #rest = "";

  /** Whether the text so far ends between two groups of four characters. */
  get isAtBoundary(): boolean {
    return this.#rest === "";
  }

  /** The bytes of all groups that are complete. @throws RpcError invalid_argument */
  decode(piece: string): Buffer {
    const text = this.#rest + piece;
    const whole = text.length - (text.length % groupChars);
    this.#rest = text.slice(whole);
    const parts: Buffer[] = [];
    for (let start = 0; start < whole; ) {
      const padding = text.indexOf("=", start);
      const end = padding === -1 || padding >= whole ? whole : padding - (padding % groupChars) + groupChars;
      parts.push(decodeGroups(text.slice(start, end)));
      start = end;
    }
    return parts.length === 1 ? (parts[0] as Buffer) : Buffer.concat(parts);
  }
}

/** Groups of which only the last may be padded. Node skips what is not base64, which shows in the length. */
function decodeGroups(text: string): Buffer {
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const bytes = Buffer.from(text, "base64");
  if (bytes.length !== (text.length / groupChars) * 3 - padding) {
    throw new RpcError("invalid_argument", "the request is not valid base64");
  }
  return bytes;
}
