/**
 * Events over Kafka 3.1 or newer. From the client library come connections and codecs (`client.ts`, the only file that
 * imports it, behind `wire.ts`); everything with a state is here, because order, waiting before a rebalance and bounded
 * memory depend on it.
 *
 * Start at `driver.ts`; then publishing: `producer.ts`, `partition-producer.ts`, `batch-writer.ts`; and consuming:
 * `subscription.ts`, `membership.ts` with `group-member.ts`, `fetcher.ts`, `partition-reader.ts`, `batch-reader.ts`.
 * Imports the port, `events/log`, and nothing of other brokers.
 */
import type { BrokerDriver, DriverContext } from "../../driver.ts";
import { loadClient } from "./client.ts";
import { KafkaDriver } from "./driver.ts";
import { oauthTokens } from "./oauth.ts";
import { parseKafkaUrl } from "./url.ts";

/**
 * @param url `kafka://user:password@host1:9092,host2?tls=true&sasl=scram-sha-256`
 * @throws BrokerError for a URL that means nothing, when no broker can be reached, or the client library is missing
 */
export async function connectKafka(url: string, context: DriverContext): Promise<BrokerDriver> {
  const parsed = parseKafkaUrl(url);
  const { clock } = context.platform;
  const tokens = oauthTokens(parsed.sasl, context.options.kafka?.oauth, clock);
  const client = await loadClient(parsed, clientIdOf(context.options.source), clock, tokens);
  const driver = new KafkaDriver(client, parsed.brokers, context);
  try {
    await driver.reach();
    return driver;
  } catch (error) {
    await driver.close();
    throw error;
  }
}

/** Shown in the broker's logs and quotas. */
function clientIdOf(source: string | undefined): string {
  return source?.replace(/[^A-Za-z0-9._-]+/g, "-").replace(/^-|-$/g, "") || "trunkline";
}
