/** Messages inside messages: the limit of protobuf's own libraries, so that hostile input cannot exhaust the stack. */
export const messageDepthMax = 100;

/** Bytes of a field's longest tag: 29 bits of number and 3 of wire type as a varint. */
export const tagBytesMax = 5;

/** Bytes of a 64-bit varint. */
export const varintBytesMax = 10;

/**
 * Text up to this many characters is converted byte by byte in JavaScript; longer text by the runtime's native
 * functions, whose call alone costs about as much as 16 characters.
 */
export const shortTextMax = 16;
