/**
 * A pattern of a contract, which is RE2's, in the syntax of JSON Schema's (ECMA-262 with the flag `u`), where it means the same.
 * `undefined` for what has no counterpart, or another meaning there: flags, classes by name, properties of characters.
 */
export function portablePattern(source: string): string | undefined {
  let text = "";
  let inClass = false;
  for (let at = 0; at < source.length; at++) {
    const character = source.charAt(at);
    if (character === "\\") {
      const letter = source.charAt(++at);
      const own = escapes[letter];
      if (own !== undefined) {
        // A class cannot hold the opposite of one, nor places.
        if (inClass && own.inClass === undefined) return undefined;
        text += inClass ? own.inClass : own.outside;
      } else if (/[dDwW]/.test(letter) || /[\^$\\.*+?()[\]{}|/]/.test(letter) || (inClass && letter === "-")) {
        text += `\\${letter}`;
      } else if (/[!-/:-@[-`{-~]/.test(letter)) {
        // RE2 lets every punctuation mark be escaped, ECMA-262 only those that mean something.
        text += letter;
      } else return undefined;
    } else if (inClass) {
      // `[[:alpha:]]` is a class by name in RE2, and characters in ECMA-262.
      if (character === "[") {
        if (source.charAt(at + 1) === ":") return undefined;
        text += "\\[";
      } else {
        inClass = character !== "]";
        text += character;
      }
    } else if (character === "[") {
      inClass = true;
      text += character;
      if (source.charAt(at + 1) === "^") text += source.charAt(++at);
      // A bracket at the beginning stands for itself in RE2.
      if (source.charAt(at + 1) === "]") {
        text += "\\]";
        at++;
      }
    } else if (character === "(" && source.charAt(at + 1) === "?") {
      if (source.charAt(at + 2) !== ":") return undefined;
      text += "(?:";
      at += 2;
    } else text += character === "." ? "[^\\n]" : character;
  }
  return isPattern(text) ? text : undefined;
}

const space = "\\t\\n\\f\\r ";

/** What is spelled otherwise, or means something else; by the letter behind the backslash. */
const escapes: Readonly<Record<string, { readonly outside: string; readonly inClass: string | undefined }>> = {
  A: { outside: "^", inClass: undefined },
  z: { outside: "$", inClass: undefined },
  b: { outside: "\\b", inClass: undefined },
  B: { outside: "\\B", inClass: undefined },
  s: { outside: `[${space}]`, inClass: space },
  S: { outside: `[^${space}]`, inClass: undefined },
  t: { outside: "\\t", inClass: "\\t" },
  n: { outside: "\\n", inClass: "\\n" },
  r: { outside: "\\r", inClass: "\\r" },
  f: { outside: "\\f", inClass: "\\f" },
  v: { outside: "\\v", inClass: "\\v" },
};

function isPattern(text: string): boolean {
  try {
    return new RegExp(text, "u") instanceof RegExp;
  } catch {
    return false;
  }
}
