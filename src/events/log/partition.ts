/** UTF-8 of keys of usual length is written here, because making memory costs more than the hash. */
const scratch = Buffer.alloc(1_024);

/**
 * Murmur2 of UTF-8 text with Kafka's seed, so that a key lies in the partition where the Java client would put it
 * (org.apache.kafka.common.utils.Utils.murmur2).
 */
export function murmur2(key: string): number {
  // A UTF-16 unit has at most three bytes.
  const isShort = key.length * 3 <= scratch.length;
  const data = isShort ? scratch : Buffer.from(key);
  const length = isShort ? scratch.write(key, 0, "utf8") : data.length;
  const m = 0x5bd1e995;
  let h = 0x9747b28c ^ length;
  const whole = length & ~3;
  for (let at = 0; at < whole; at += 4) {
    let k = data.readInt32LE(at);
    k = Math.imul(k, m);
    k ^= k >>> 24;
    h = Math.imul(h, m) ^ Math.imul(k, m);
  }
  const rest = length - whole;
  if (rest > 0) {
    if (rest === 3) h ^= (data[whole + 2] as number) << 16;
    if (rest >= 2) h ^= (data[whole + 1] as number) << 8;
    h = Math.imul(h ^ (data[whole] as number), m);
  }
  h ^= h >>> 13;
  h = Math.imul(h, m);
  return h ^ (h >>> 15);
}

/** The partition of a key, as Kafka's default partitioner chooses it. */
export function partitionOf(key: string, partitions: number): number {
  return (murmur2(key) & 0x7fffffff) % partitions;
}
