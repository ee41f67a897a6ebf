/**
 * The Huffman code of RFC 7541, appendix B. It is canonical: codes of one length are consecutive in the order of their
 * symbols, so the lengths alone define it.
 */
const endOfString = 256;

/** Bits of the code of each octet, then of the end-of-string symbol. */
// biome-ignore format: a table
const codeBits = [
  13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 30, 28,
  28, 28, 28, 28, 28, 28, 28, 28, 6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
  5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, 13, 6, 7, 7, 7, 7, 7, 7,
  7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
  15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, 6, 7, 6, 5, 5, 6, 7, 7,
  7, 7, 7, 15, 11, 14, 13, 28, 20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
  24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, 22, 21, 20, 22, 22, 23, 23, 21,
  23, 22, 22, 24, 21, 22, 23, 23, 21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
  26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, 19, 21, 26, 27, 27, 26, 27, 24,
  21, 21, 26, 26, 28, 27, 27, 27, 20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
  26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, 30,
];
const bits = Uint8Array.from(codeBits);
const codes = canonicalCodes();

function canonicalCodes(): Uint32Array {
  const result = new Uint32Array(codeBits.length);
  const symbols = codeBits.map((_, symbol) => symbol).sort((a, b) => bits[a]! - bits[b]! || a - b);
  let code = 0;
  let length = bits[symbols[0]!]!;
  for (const symbol of symbols) {
    code <<= bits[symbol]! - length;
    length = bits[symbol]!;
    result[symbol] = code++;
  }
  return result;
}

/*
 * Decoding reads four bits at a time through `steps[state * 16 + nibble]`. A state is a node of the code tree; codes
 * have at least 5 bits, so a nibble ends one symbol at most. Layout of a step: next state (8 bits), symbol (8 bits), flags.
 */
const emits = 1 << 16;
const isInvalid = 1 << 17;
/** The bits since the last symbol are all ones and fewer than 8: valid padding (RFC 7541, section 5.2). */
const mayEnd = 1 << 18;
const steps = buildSteps();

function buildSteps(): Int32Array {
  // children[node * 2 + bit]: another node, or −1 − symbol.
  const children: number[] = [0, 0];
  for (let symbol = 0; symbol <= endOfString; symbol++) {
    let node = 0;
    for (let bit = bits[symbol]! - 1; bit >= 0; bit--) {
      const edge = node * 2 + ((codes[symbol]! >>> bit) & 1);
      if (bit === 0) children[edge] = -1 - symbol;
      else {
        if (children[edge] === 0) {
          children[edge] = children.length / 2;
          children.push(0, 0);
        }
        node = children[edge]!;
      }
    }
  }
  const paddingNodes = new Set<number>([0]);
  for (let node = 0, depth = 0; depth < 7; depth++) {
    node = children[node * 2 + 1]!;
    paddingNodes.add(node);
  }
  const table = new Int32Array((children.length / 2) * 16);
  for (let start = 0; start < children.length / 2; start++) {
    for (let nibble = 0; nibble < 16; nibble++) {
      let node = start;
      let step = 0;
      for (let bit = 3; bit >= 0; bit--) {
        const next = children[node * 2 + ((nibble >> bit) & 1)]!;
        if (next >= 0) node = next;
        else {
          node = 0;
          step |= -1 - next === endOfString ? isInvalid : emits | ((-1 - next) << 8);
        }
      }
      table[start * 16 + nibble] = step | node | (paddingNodes.has(node) ? mayEnd : 0);
    }
  }
  return table;
}

/**
 * Decodes `source[start, end)` into `target` and answers the number of octets, or −1 when the code is broken or padded
 * wrongly. `target` needs room for 8/5 of the input.
 */
export function huffmanDecode(source: Uint8Array, start: number, end: number, target: Uint8Array): number {
  let written = 0;
  let step = mayEnd;
  let failed = 0;
  for (let i = start; i < end; i++) {
    const octet = source[i]!;
    step = steps[((step & 0xff) << 4) | (octet >> 4)]!;
    failed |= step;
    if (step & emits) target[written++] = (step >> 8) & 0xff;
    step = steps[((step & 0xff) << 4) | (octet & 15)]!;
    failed |= step;
    if (step & emits) target[written++] = (step >> 8) & 0xff;
  }
  return failed & isInvalid || !(step & mayEnd) ? -1 : written;
}

/** Octets that `text` (latin1) takes when encoded. */
export function huffmanLength(text: string): number {
  let total = 0;
  for (let i = 0; i < text.length; i++) total += bits[text.charCodeAt(i) & 0xff]!;
  return (total + 7) >> 3;
}

/** Encodes `text` (latin1) into `target` from `position` on, and answers the position behind it. */
export function huffmanEncode(text: string, target: Uint8Array, position: number): number {
  let pending = 0;
  let pendingBits = 0;
  for (let i = 0; i < text.length; i++) {
    const symbol = text.charCodeAt(i) & 0xff;
    const length = bits[symbol]!;
    // At most 7 bits are pending. A code of up to 24 bits fits beside them into 31 bits; longer ones go in two parts.
    let code = codes[symbol]!;
    let rest = length;
    if (rest > 24) {
      pending = (pending << (rest - 24)) | (code >>> 24);
      pendingBits += rest - 24;
      code &= 0xffffff;
      rest = 24;
      while (pendingBits >= 8) {
        pendingBits -= 8;
        target[position++] = pending >>> pendingBits;
      }
      pending &= (1 << pendingBits) - 1;
    }
    pending = (pending << rest) | code;
    pendingBits += rest;
    while (pendingBits >= 8) {
      pendingBits -= 8;
      target[position++] = pending >>> pendingBits;
    }
    pending &= (1 << pendingBits) - 1;
  }
  if (pendingBits > 0) target[position++] = (pending << (8 - pendingBits)) | (0xff >>> pendingBits);
  return position;
}
