/** Messages on stdin and stdout, each behind its length in four bytes. */
export async function* readFrames(input: AsyncIterable<Buffer>): AsyncIterable<Buffer> {
  let pending = Buffer.alloc(0);
  for await (const chunk of input) {
    pending = Buffer.concat([pending, chunk]);
    while (pending.length >= 4 && pending.length >= 4 + pending.readUInt32BE(0)) {
      const end = 4 + pending.readUInt32BE(0);
      yield pending.subarray(4, end);
      pending = pending.subarray(end);
    }
  }
}

export function frame(payload: Uint8Array): Buffer {
  const bytes = Buffer.alloc(4 + payload.length);
  bytes.writeUInt32BE(payload.length);
  bytes.set(payload, 4);
  return bytes;
}
