/**
 * Patterns of a contract are RE2's: other syntax than JavaScript's, and matching takes time linear in the text whatever the
 * pattern is. Those read here mean the same in both, and leave no choice while they match, so that JavaScript's engine is
 * linear too: `^`, then ASCII characters and classes with or without repetition, where what may repeat and what may come
 * instead have no character in common; `$` if the text must end there.
 */
export function linearPattern(source: string): RegExp | undefined {
  const atoms = new PatternReader(source).atoms();
  return atoms !== undefined && isDeterministic(atoms) ? new RegExp(source) : undefined;
}

interface Atom {
  /** A bit for each ASCII character. */
  readonly characters: bigint;
  readonly min: number;
  readonly max: number;
}

function isDeterministic(atoms: readonly Atom[]): boolean {
  return atoms.every(({ characters, min, max }, index) => {
    if (min === max) return true;
    for (const next of atoms.slice(index + 1)) {
      if ((characters & next.characters) !== 0n) return false;
      if (next.min > 0) return true;
    }
    return true;
  });
}

const digits = between("0", "9");
const wordCharacters = digits | between("A", "Z") | between("a", "z") | between("_", "_");
const asItself = /^[A-Za-z0-9 !"#%&',/:;<=>@_`~-]$/;
const punctuation = /^[!-/:-@[-`{-~]$/;
/** RE2's own limit of counted repetitions. */
const countMax = 1000;

class PatternReader {
  readonly #source: string;
  #at = 0;

  constructor(source: string) {
    this.#source = source;
  }

  atoms(): readonly Atom[] | undefined {
    if (!this.#take("^")) return undefined;
    const atoms: Atom[] = [];
    while (this.#at < this.#source.length) {
      if (this.#take("$")) return this.#at === this.#source.length ? atoms : undefined;
      const characters = this.#take("[") ? this.#class() : this.#character();
      const repetition = characters === undefined ? undefined : this.#repetition();
      if (characters === undefined || repetition === undefined) return undefined;
      atoms.push({ characters, ...repetition });
    }
    return atoms;
  }

  #take(text: string): boolean {
    const isNext = this.#source.startsWith(text, this.#at);
    if (isNext) this.#at += text.length;
    return isNext;
  }

  #character(): bigint | undefined {
    const character = this.#source.charAt(this.#at++);
    if (character === "\\") return this.#escaped();
    return asItself.test(character) ? between(character, character) : undefined;
  }

  #escaped(): bigint | undefined {
    const character = this.#source.charAt(this.#at++);
    if (character === "d") return digits;
    if (character === "w") return wordCharacters;
    return punctuation.test(character) ? between(character, character) : undefined;
  }

  #class(): bigint | undefined {
    let characters = 0n;
    for (let isFirst = true; !this.#take("]"); isFirst = false) {
      const character = this.#source.charAt(this.#at++);
      if (character === "-" && !isFirst && this.#source[this.#at] !== "]") return undefined;
      if (/^[A-Za-z0-9]$/.test(character) && this.#take("-")) {
        if (this.#take("]")) return characters | between(character, character) | between("-", "-");
        const last = this.#source.charAt(this.#at++);
        if (!/^[A-Za-z0-9]$/.test(last) || last < character) return undefined;
        characters |= between(character, last);
        continue;
      }
      const own =
        character === "\\"
          ? this.#escaped()
          : asItself.test(character) || /^[.+*?$(){}|]$/.test(character)
            ? between(character, character)
            : undefined;
      if (own === undefined) return undefined;
      characters |= own;
    }
    return characters === 0n ? undefined : characters;
  }

  #repetition(): Omit<Atom, "characters"> | undefined {
    let repetition: Omit<Atom, "characters"> = { min: 1, max: 1 };
    if (this.#take("*")) repetition = { min: 0, max: Number.POSITIVE_INFINITY };
    else if (this.#take("+")) repetition = { min: 1, max: Number.POSITIVE_INFINITY };
    else if (this.#take("?")) repetition = { min: 0, max: 1 };
    else if (this.#source[this.#at] === "{") {
      const counted = /^\{(\d{1,4})(?:(,)(\d{1,4})?)?\}/.exec(this.#source.slice(this.#at));
      if (counted === null) return undefined;
      this.#at += counted[0].length;
      const min = Number(counted[1]);
      const max =
        counted[2] === undefined ? min : counted[3] === undefined ? Number.POSITIVE_INFINITY : Number(counted[3]);
      if (min > countMax || (max > countMax && max !== Number.POSITIVE_INFINITY) || max < min) return undefined;
      repetition = { min, max };
    } else return repetition;
    // A second mark makes the first lazy, possessive or wrong.
    return /^[*+?{]/.test(this.#source.slice(this.#at)) ? undefined : repetition;
  }
}

function between(first: string, last: string): bigint {
  let characters = 0n;
  for (let code = first.charCodeAt(0); code <= last.charCodeAt(0); code++) characters |= 1n << BigInt(code);
  return characters;
}
