import { exchangeBytes, shorten, statusesOf } from "./judge-requests.ts";
import type { FrontProxy } from "./proxies.ts";
import { requestCases } from "./requests.ts";
import type { RecordingServer } from "./seen.ts";

export interface ProxyVerdicts {
  passed: number;
  readonly failures: string[];
  /** What the proxy forwards although the RFC and we refuse it. */
  readonly laxer: string[];
  /** What the proxy refuses although we accept it. */
  readonly stricter: string[];
}

/**
 * Sends every row through a proxy to our server. The proxy believes that it forwarded as many requests as it gives
 * answers of the backend: if our server has seen more, a request was smuggled past the proxy, and that is a failure
 * whoever was laxer. Rows go one by one, because the backend's connections are shared.
 */
export async function judgeThroughProxy(proxy: FrontProxy, backend: RecordingServer): Promise<ProxyVerdicts> {
  const verdicts: ProxyVerdicts = { passed: 0, failures: [], laxer: [], stricter: [] };
  for (const row of requestCases) {
    backend.forget();
    const { text } = await exchangeBytes(proxy.port, row, 20);
    const statuses = statusesOf(text);
    const answers = statuses.filter(status => status === 200).length;
    const seen = [...backend.all];
    const title = `${proxy.name}, ${row.section}: ${row.name}`;
    if (seen.length > Math.max(answers, typeof row.verdict === "number" ? 1 : row.verdict.length)) {
      verdicts.failures.push(
        `${title}: the backend saw ${seen.length} requests where the proxy gave ${answers} answers: ${shorten(seen.join(" | "))}`,
      );
      continue;
    }
    if (seen.some(request => request.startsWith("GET") && request.includes("/smuggled"))) {
      verdicts.failures.push(`${title}: a smuggled request reached the backend`);
      continue;
    }
    if (typeof row.verdict === "number") {
      if (seen.length > 0) verdicts.laxer.push(`${title}: forwards ${shorten(seen.join(" | "))}`);
    } else if (seen.length < row.verdict.length) {
      verdicts.stricter.push(
        `${title}: forwards ${seen.length} of ${row.verdict.length}, answers ${statuses.join(" ")}`,
      );
    }
    verdicts.passed++;
  }
  return verdicts;
}
