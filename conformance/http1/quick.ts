import { disagreement, isRefusal, judgeRequest, outcomeText, overAll, shorten } from "./judge-requests.ts";
import { judgeNodeClient, judgeOurClient } from "./judge-responses.ts";
import { requestCases } from "./requests.ts";
import { responseCases } from "./responses.ts";
import { startNodeServer, startOurServer } from "./seen.ts";

/** What a run over the tables found. */
export interface Verdicts {
  passed: number;
  /** One line each; none is what we want. */
  readonly failures: string[];
  /** Rows in which an oracle accepts what the RFC and we refuse. */
  readonly laxer: string[];
  /** Rows in which an oracle refuses what we accept, with the table's reason. */
  readonly stricter: string[];
}

/**
 * Judges both tables against our server and client, with Node's as oracles. A row fails when we do not give its verdict,
 * or when Node refuses, or understands otherwise, what we accept and the table has no reason for that.
 */
export async function judgeTables(): Promise<Verdicts> {
  const verdicts: Verdicts = { passed: 0, failures: [], laxer: [], stricter: [] };
  await judgeRequestTable(verdicts);
  await judgeResponseTable(verdicts);
  return verdicts;
}

async function judgeRequestTable(verdicts: Verdicts): Promise<void> {
  const ours = await startOurServer();
  const node = await startNodeServer();
  try {
    await overAll(requestCases, 24, async row => {
      const title = `request, ${row.section}: ${row.name}`;
      const [outcome, oracle] = [await judgeRequest(ours, row), await judgeRequest(node, row)];
      const wrong = disagreement(row, outcome);
      if (wrong !== undefined) {
        verdicts.failures.push(`${title}: ${wrong}`);
        return;
      }
      if (isRefusal(outcome)) {
        if (!isRefusal(oracle)) verdicts.laxer.push(`${title}: node:http sees ${shorten(outcomeText(oracle))}`);
      } else if (outcomeText(oracle) !== outcomeText(outcome)) {
        const line = `${title}: node:http says ${shorten(outcomeText(oracle))}`;
        if (row.stricterOracles === undefined) {
          verdicts.failures.push(line);
          return;
        }
        verdicts.stricter.push(`${line} (${row.stricterOracles})`);
      }
      verdicts.passed++;
    });
  } finally {
    await Promise.all([ours.close(), node.close()]);
  }
}

async function judgeResponseTable(verdicts: Verdicts): Promise<void> {
  await overAll(responseCases, 8, async row => {
    const title = `response, ${row.section}: ${row.name}`;
    const [outcome, oracle] = [await judgeOurClient(row), await judgeNodeClient(row)];
    if (outcome !== row.verdict) {
      verdicts.failures.push(`${title}: expected ${row.verdict}, got ${shorten(outcome)}`);
      return;
    }
    if (outcome === "refused") {
      if (oracle !== "refused") verdicts.laxer.push(`${title}: node:http says ${shorten(oracle)}`);
    } else if (oracle !== outcome) {
      const line = `${title}: node:http says ${shorten(oracle)}`;
      if (row.stricterOracles === undefined) {
        verdicts.failures.push(line);
        return;
      }
      verdicts.stricter.push(`${line} (${row.stricterOracles})`);
    }
    verdicts.passed++;
  });
}
