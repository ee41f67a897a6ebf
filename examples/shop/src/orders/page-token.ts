import { BadRequestSchema, RpcError } from "trunkline";
import type { OrderPosition } from "./order-store.ts";

/** The opaque text by which a caller asks for what follows a position. */
export function encodePageToken({ createdAt, id }: OrderPosition): string {
  return Buffer.from(`${createdAt}:${id}`).toString("base64url");
}

/** @throws RpcError `invalid_argument` for what no answer contained */
export function decodePageToken(token: string): OrderPosition | undefined {
  if (token === "") return undefined;
  const text = Buffer.from(token, "base64url").toString();
  const [, createdAt, id] = /^([0-9]{1,15}):(.+)$/s.exec(text) ?? [];
  if (createdAt === undefined || id === undefined || encodePageToken({ createdAt: BigInt(createdAt), id }) !== token) {
    const description = "must be a token from an earlier answer";
    const violation = { field: "page_token", description, reason: "page_token" };
    throw new RpcError("invalid_argument", `page_token: ${description}`, {
      details: [[BadRequestSchema, { fieldViolations: [violation] }]],
    });
  }
  return { createdAt: BigInt(createdAt), id };
}
