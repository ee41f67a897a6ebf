import { StringDecoder } from "node:string_decoder";

/** Cuts a stream of bytes into lines. What follows the last line end is dropped with the stream: it is half an object. */
export class LineSplitter {
  readonly #decoder = new StringDecoder("utf8");
  readonly #charactersMax: number;
  readonly #line: (text: string) => void;
  #pieces: string[] = [];
  #characters = 0;

  constructor(charactersMax: number, line: (text: string) => void) {
    this.#charactersMax = charactersMax;
    this.#line = line;
  }

  /** @throws RangeError when a line is longer than allowed */
  push(bytes: Buffer): void {
    const text = this.#decoder.write(bytes);
    let start = 0;
    for (let end = text.indexOf("\n"); end !== -1; end = text.indexOf("\n", start)) {
      this.#take(text.slice(start, end));
      const line = this.#pieces.join("");
      this.#pieces = [];
      this.#characters = 0;
      start = end + 1;
      if (line !== "" && line !== "\r") this.#line(line);
    }
    this.#take(text.slice(start));
  }

  #take(piece: string): void {
    this.#characters += piece.length;
    if (this.#characters > this.#charactersMax) {
      throw new RangeError(`an object of the watch is longer than ${this.#charactersMax} characters`);
    }
    if (piece !== "") this.#pieces.push(piece);
  }
}
