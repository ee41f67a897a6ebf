import { connect } from "node:net";
import type { RequestCase } from "./case.ts";
import type { RecordingServer } from "./seen.ts";

/** What came back for a row's bytes. */
export interface Outcome {
  /** Statuses of all final answers. */
  readonly statuses: readonly number[];
  /** Requests that the server has seen on this connection. */
  readonly seen: readonly string[];
}

const timeoutMs = 1_500;

/**
 * Sends a row's bytes and waits until the server closes, or has given as many answers as are expected and then stays
 * quiet for `quietMs`.
 */
export function exchangeBytes(
  port: number,
  row: RequestCase,
  quietMs: number,
): Promise<{ text: string; port: number }> {
  const expected = typeof row.verdict === "number" ? 1 : row.verdict.length;
  return new Promise(resolve => {
    let text = "";
    let localPort = 0;
    let quiet: NodeJS.Timeout | undefined;
    const socket = connect({ host: "127.0.0.1", port }, () => {
      localPort = socket.localPort ?? 0;
      socket.write(Buffer.from(row.bytes, "latin1"));
    });
    const finish = (): void => {
      clearTimeout(quiet);
      clearTimeout(limit);
      socket.destroy();
      resolve({ text, port: localPort });
    };
    const limit = setTimeout(finish, timeoutMs);
    socket.on("data", chunk => {
      text += chunk.toString("latin1");
      if (statusesOf(text).length < expected) return;
      clearTimeout(quiet);
      quiet = setTimeout(finish, quietMs);
    });
    socket.on("error", finish);
    socket.on("end", finish);
  });
}

export function statusesOf(text: string): number[] {
  return [...text.matchAll(/HTTP\/1\.[01] ([2-5][0-9][0-9]) /g)].map(match => Number(match[1]));
}

/** Sends one row to a recording server. */
export async function judgeRequest(server: RecordingServer, row: RequestCase): Promise<Outcome> {
  const { text, port } = await exchangeBytes(server.port, row, 25);
  return { statuses: statusesOf(text), seen: server.takeSeen(port) };
}

/** `undefined` when the outcome is the row's verdict, otherwise what was seen instead. */
export function disagreement(row: RequestCase, outcome: Outcome): string | undefined {
  const actual = outcomeText(outcome);
  const expected = typeof row.verdict === "number" ? `refused with ${row.verdict}` : row.verdict.join(" | ");
  return actual === expected ? undefined : `expected ${shorten(expected)}, got ${shorten(actual)}`;
}

export function outcomeText(outcome: Outcome): string {
  const refusal = outcome.statuses.find(status => status >= 400);
  if (refusal !== undefined) return `refused with ${refusal}`;
  if (outcome.seen.length === 0) return "nothing";
  return outcome.seen.join(" | ");
}

export function isRefusal(outcome: Outcome): boolean {
  return outcome.seen.length === 0 || outcome.statuses.some(status => status >= 400);
}

export function shorten(text: string): string {
  const shown = JSON.stringify(text);
  return shown.length > 160 ? `${shown.slice(0, 160)}…` : shown;
}

/** Runs `judge` over all rows, `width` at a time. */
export async function overAll<Row>(
  rows: readonly Row[],
  width: number,
  judge: (row: Row) => Promise<void>,
): Promise<void> {
  let index = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      for (let row = rows[index++]; row !== undefined; row = rows[index++]) await judge(row);
    }),
  );
}
