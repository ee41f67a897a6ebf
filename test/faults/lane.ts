import type { Socket } from "node:net";

/** What one direction of a connection does to the bytes that pass. */
export interface LaneFaults {
  /** Every byte comes so much later; order is kept. @default 0 */
  readonly latencyMs?: number | undefined;
  /** @default Infinity */
  readonly bytesPerSecond?: number | undefined;
  /** Nothing passes, neither bytes nor the end; it is kept for when this is `false` again. @default false */
  readonly isStopped?: boolean | undefined;
  /** Behind so many bytes the receiver gets FIN and the sender RST, wherever in a frame that is. @default Infinity */
  readonly cutAfterBytes?: number | undefined;
}

/** What a lane holds back at most; its sender feels back-pressure above it. */
export const laneBytesMax = 262_144;
/** Pieces of a lane with a bandwidth: 10 ms of it, but not so small that a buffer has thousands. */
const pieceMs = 10;
const pieceBytesMin = 256;

interface Piece {
  readonly bytes: Buffer;
  readonly dueMs: number;
}

/** One direction of a connection: bytes of `from` reach `to` as the faults say, in order, with bounded memory. */
export class Lane {
  readonly #from: Socket;
  readonly #to: Socket;
  readonly #cut: () => void;
  readonly #queue: Piece[] = [];
  #faults: LaneFaults;
  #heldBytes = 0;
  /** When the last piece has left a line of the set bandwidth. */
  #lineFreeMs = 0;
  #timer: NodeJS.Timeout | undefined;
  #isBlocked = false;
  #isCut = false;
  #end: "none" | "end" | "reset" = "none";
  /** Bytes that have been handed to the receiver. */
  passedBytes = 0;

  /** @param cut ends the connection after `cutAfterBytes` or a reset of the sender */
  constructor(from: Socket, to: Socket, faults: LaneFaults, cut: () => void) {
    this.#from = from;
    this.#to = to;
    this.#faults = faults;
    this.#cut = cut;
    from.on("data", (chunk: Buffer) => this.#take(chunk));
    from.on("end", () => this.#ended("end"));
    from.on("error", () => this.#ended("reset"));
    from.on("close", () => this.#ended("end"));
    to.on("drain", () => {
      this.#isBlocked = false;
      this.#pump();
    });
  }

  get heldBytes(): number {
    return this.#heldBytes;
  }

  /** Changes what is named from now on; bytes that are already on their way keep their time. */
  set(faults: LaneFaults): void {
    this.#faults = { ...this.#faults, ...faults };
    this.#pump();
  }

  /** Forgets what it holds and stops its timer. */
  close(): void {
    clearTimeout(this.#timer);
    this.#queue.length = 0;
    this.#heldBytes = 0;
  }

  #take(chunk: Buffer): void {
    const { latencyMs = 0, bytesPerSecond = Number.POSITIVE_INFINITY } = this.#faults;
    const pieceBytes = Math.max(pieceBytesMin, (bytesPerSecond * pieceMs) / 1_000);
    for (let from = 0; from < chunk.length; from += pieceBytes) {
      const bytes = chunk.subarray(from, from + pieceBytes);
      this.#lineFreeMs = Math.max(this.#lineFreeMs, performance.now()) + (bytes.length * 1_000) / bytesPerSecond;
      this.#queue.push({ bytes, dueMs: this.#lineFreeMs + latencyMs });
    }
    this.#heldBytes += chunk.length;
    if (this.#heldBytes >= laneBytesMax) this.#from.pause();
    this.#pump();
  }

  #ended(how: "end" | "reset"): void {
    if (this.#end === "none") this.#end = how;
    else if (how === "reset") this.#end = how;
    this.#pump();
  }

  #pump(): void {
    clearTimeout(this.#timer);
    if (this.#faults.isStopped === true || this.#isCut) return;
    for (let piece = this.#queue[0]; piece !== undefined && !this.#isBlocked; piece = this.#queue[0]) {
      const waitMs = piece.dueMs - performance.now();
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.#pump(), Math.ceil(waitMs));
        return;
      }
      this.#queue.shift();
      this.#heldBytes -= piece.bytes.length;
      if (!this.#pass(piece.bytes)) return;
    }
    if (this.#heldBytes < laneBytesMax / 2) this.#from.resume();
    if (this.#queue.length > 0 || this.#end === "none") return;
    if (this.#end === "reset") this.#cut();
    else if (!this.#to.writableEnded) this.#to.end();
  }

  /** `false`: the connection was cut. */
  #pass(bytes: Buffer): boolean {
    const left = (this.#faults.cutAfterBytes ?? Number.POSITIVE_INFINITY) - this.passedBytes;
    const passing = bytes.length < left ? bytes : bytes.subarray(0, Math.max(0, left));
    this.passedBytes += passing.length;
    if (bytes.length < left) {
      this.#isBlocked = !this.#to.write(passing);
      return true;
    }
    this.#isCut = true;
    // FIN and not RST behind the last bytes: a reset would take them away from a receiver that has not read them yet.
    this.#to.end(passing, () => this.#cut());
    return false;
  }
}
