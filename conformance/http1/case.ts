/** One row of the tables: bytes, what HTTP/1.1 says about them, and where. */

/** A refusal by this status, or the requests that are seen: `METHOD authority path [body]`, with ` +name=value` per trailer. */
export type RequestVerdict = number | readonly string[];

export interface RequestCase {
  /** RFC 9112 unless another one is named. */
  readonly section: string;
  readonly name: string;
  /** Latin1 text. */
  readonly bytes: string;
  readonly verdict: RequestVerdict;
  /** Why an oracle may refuse what we accept. */
  readonly stricterOracles?: string;
}

/** A protocol error, or status and body as a client sees them. */
export type ResponseVerdict = "refused" | `${number} [${string}]`;

export interface ResponseCase {
  readonly section: string;
  readonly name: string;
  readonly method: "GET" | "HEAD" | "POST";
  readonly bytes: string;
  /** The server ends the connection behind the bytes. */
  readonly ends: boolean;
  readonly verdict: ResponseVerdict;
  readonly stricterOracles?: string;
}

/** A byte as it is shown in the name of a case. */
export function shownByte(code: number): string {
  return `0x${code.toString(16).padStart(2, "0")}`;
}
