import { METHODS } from "node:http";
import { connect } from "node:net";
import { SeededRandom } from "../../src/platform/virtual/index.ts";
import { describe, ScriptedClient } from "../../src/wire/http1/scripted-peer.ts";
import { shorten, statusesOf } from "./judge-requests.ts";
import { requestCases } from "./requests.ts";
import { type RecordingServer, startNodeServer } from "./seen.ts";

/**
 * Differential fuzz: rows of the table are joined, spliced and damaged, and go to our server and to Node's. What we
 * accept Node must accept with the same meaning, and with the same end.
 */
export interface FuzzReport {
  readonly rounds: number;
  readonly requestsAccepted: number;
  readonly disagreements: readonly string[];
}

const insertions = [
  "\r", "\n", "\r\n", " ", "\t", ":", ";", ",", "\0", "0", "1", "a", "\xff", "=", '"', "\r\n\r\n",
  "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Host: b\r\n", "Connection: close\r\n", "X: y\r\n", "chunked", "HTTP/1.1",
]; // biome-ignore format: a list of bytes

/**
 * Rows that fit a packet and that Node understands as we do. Not the offer of h2c: behind it Node expects the other
 * protocol, we go on with HTTP/1.1.
 */
const rows = requestCases.filter(
  row => row.bytes.length < 1000 && row.stricterOracles === undefined && !row.bytes.includes("Upgrade: h2c"),
);
const goodSeeds = rows.filter(row => typeof row.verdict !== "number").map(row => row.bytes);
const badSeeds = rows.filter(row => typeof row.verdict === "number").map(row => row.bytes);

/** Sent behind what we accepted: shows that both sides agree about where it ends. */
const sentinel = "GET /sentinel HTTP/1.1\r\nHost: s\r\nConnection: close\r\n\r\n";
const sentinelSeen = "GET s /sentinel []";

export function mutate(random: SeededRandom): string {
  let text = "";
  for (let part = random.below(3); part >= 0; part--) {
    const seeds = random.below(4) === 0 ? badSeeds : goodSeeds;
    text += seeds[random.below(seeds.length)];
  }
  for (let change = random.below(4); change > 0; change--) {
    const at = random.below(text.length + 1);
    switch (random.below(4)) {
      case 0:
        text = text.slice(0, at) + text.slice(at + 1 + random.below(4));
        break;
      case 1:
        text = text.slice(0, at) + insertions[random.below(insertions.length)] + text.slice(at);
        break;
      case 2:
        text = text.slice(0, at) + String.fromCharCode(random.below(256)) + text.slice(at + 1);
        break;
      default: {
        const from = random.below(text.length + 1);
        text = text.slice(0, at) + text.slice(from, from + random.below(40)) + text.slice(at);
      }
    }
  }
  return text;
}

/** @param rounds inputs; @param seed printed by the caller, gives the same inputs again. */
export async function fuzzAgainstNode(rounds: number, seed: number): Promise<FuzzReport> {
  const random = new SeededRandom(seed);
  const node = await startNodeServer();
  const disagreements: string[] = [];
  let requestsAccepted = 0;
  let started = 0;
  const worker = async (): Promise<void> => {
    while (started < rounds) {
      started++;
      const bytes = mutate(random);
      const { accepted, end, goesOn } = acceptedByUs(bytes);
      if (accepted.length === 0 || accepted.some(isUnknownToNode)) continue;
      requestsAccepted += accepted.length;
      const expected = goesOn ? [...accepted, sentinelSeen] : accepted;
      const theirs = await seenBy(node, bytes.slice(0, end) + (goesOn ? sentinel : ""), expected.length);
      const index = expected.findIndex((request, position) => request !== theirs[position]);
      if (index === -1 && theirs.length === expected.length) continue;
      const at = index === -1 ? expected.length : index;
      disagreements.push(
        `${JSON.stringify(bytes.slice(0, end))}: request ${at + 1} is ${shorten(expected[at] ?? "none")} for us, ${shorten(theirs[at] ?? "refused")} for node:http`,
      );
    }
  };
  try {
    await Promise.all(Array.from({ length: 16 }, worker));
  } finally {
    await node.close();
  }
  return { rounds, requestsAccepted, disagreements };
}

/** The requests that our connection takes from the bytes, and where the last of them ends; found byte by byte. */
function acceptedByUs(bytes: string): { accepted: string[]; end: number; goesOn: boolean } {
  const accepted: string[] = [];
  let position = 0;
  let end = 0;
  const client = new ScriptedClient(request => {
    request.whenEnded = () => {
      const trailers = [...(request.trailers ?? [])].map(field => ` +${field.name}=${field.value}`).join("");
      accepted.push(describe(request) + trailers);
      end = position;
      request.exchange.respond(200, [], undefined);
    };
  });
  let goesOn = false;
  for (const byte of bytes) {
    position++;
    client.stream.arrive(byte);
    if (end === position) goesOn = !client.stream.isEnded;
    if (client.stream.isEnded || client.stream.isDestroyed) break;
  }
  client.connection.destroy();
  return { accepted, end, goesOn };
}

function isUnknownToNode(request: string): boolean {
  return !METHODS.includes(request.slice(0, request.indexOf(" ")));
}

/** The requests that a server sees in these bytes. */
function seenBy(server: RecordingServer, bytes: string, expected: number): Promise<readonly string[]> {
  return new Promise(resolve => {
    let text = "";
    let port = 0;
    let quiet: NodeJS.Timeout | undefined;
    const socket = connect({ host: "127.0.0.1", port: server.port }, () => {
      port = socket.localPort ?? 0;
      socket.write(Buffer.from(bytes, "latin1"));
      quiet = setTimeout(finish, 300);
    });
    const finish = (): void => {
      clearTimeout(quiet);
      socket.destroy();
      resolve(server.takeSeen(port));
    };
    socket.on("data", chunk => {
      text += chunk.toString("latin1");
      const statuses = statusesOf(text);
      if (statuses.length >= expected || statuses.some(status => status >= 400)) finish();
    });
    socket.on("error", finish);
    socket.on("end", finish);
  });
}

if (process.argv[1] === import.meta.filename) {
  const seed = Number(process.argv[3] ?? Math.floor(Math.random() * 2 ** 31));
  const rounds = Number(process.argv[2] ?? 5000);
  process.stdout.write(`seed ${seed}, ${rounds} rounds\n`);
  const report = await fuzzAgainstNode(rounds, seed);
  for (const line of report.disagreements) process.stdout.write(`${line}\n`);
  process.stdout.write(
    `${report.requestsAccepted} requests accepted\n${report.rounds - report.disagreements.length} passed, ${report.disagreements.length} failed\n`,
  );
  process.exitCode = report.disagreements.length === 0 ? 0 : 1;
}
