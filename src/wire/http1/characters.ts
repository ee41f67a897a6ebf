/**
 * The alphabets of RFC 9110 and RFC 9112 as tables of 256 bytes, so that the pass over a head is one look-up per byte.
 */

/** For a token character (RFC 9110, section 5.6.2) its lower-case form; 0 for all others. */
export const tokenLowerCase: Uint8Array = table(code => {
  const character = String.fromCharCode(code);
  return /[!#$%&'*+\-.^_`|~0-9A-Za-z]/.test(character) ? character.toLowerCase().charCodeAt(0) : 0;
});

/** 1 for what a field value may hold (RFC 9110, section 5.5): visible characters, obs-text, space and tab. */
export const isValueByte: Uint8Array = table(code => (code === 0x09 || (code >= 0x20 && code !== 0x7f) ? 1 : 0));

/**
 * 1 for what a request target may hold. RFC 3986 allows less: browsers follow the URL standard, which leaves
 * `[ ] \ ^ { | }` and the backtick as they are in queries, so those pass here. Blanks, controls, bytes beyond ASCII,
 * quotes, angle brackets and fragments do not.
 */
export const isTargetByte: Uint8Array = table(code =>
  code > 0x20 && code < 0x7f && !'"#<>'.includes(String.fromCharCode(code)) ? 1 : 0,
);

/** 1 for reg-name and IPv4 characters of a host (RFC 3986, section 3.2.2), with `%` of an escape. */
export const isHostByte: Uint8Array = table(code =>
  /[A-Za-z0-9\-._~!$&'()*+,;=%]/.test(String.fromCharCode(code)) ? 1 : 0,
);

/** The value of a hexadecimal digit; 255 for all other bytes. */
export const hexDigitValue: Uint8Array = table(code => {
  const character = String.fromCharCode(code);
  return /[0-9A-Fa-f]/.test(character) ? Number.parseInt(character, 16) : 255;
});

function table(of: (code: number) => number): Uint8Array {
  return Uint8Array.from({ length: 256 }, (_, code) => of(code));
}
