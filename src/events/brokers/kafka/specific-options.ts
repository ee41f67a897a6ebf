import type { KafkaSubscribeOptions } from "../../broker.ts";
import type { SubscriptionDemand } from "../../driver.ts";
import { BrokerError } from "../../errors.ts";
import { sessionTimeoutMs } from "./limits.ts";

export interface SpecificOptions {
  readonly protocol: "classic" | "consumer";
  readonly instanceId: string | undefined;
  readonly sessionTimeoutMs: number;
}

/** `SubscribeOptions.kafka`, checked. @throws BrokerError */
export function specificOptions({ group, specific }: SubscriptionDemand): SpecificOptions {
  const options = specific as KafkaSubscribeOptions;
  const where = `subscribe (group ${group}): kafka`;
  const { protocol = "classic", staticMemberId, sessionTimeoutMs: session = sessionTimeoutMs } = options;
  if (protocol !== "classic" && protocol !== "consumer") {
    throw new BrokerError(`${where}.protocol is ${JSON.stringify(protocol)}; it must be "classic" or "consumer"`);
  }
  if (staticMemberId !== undefined && !/^[A-Za-z0-9._-]{1,249}$/.test(staticMemberId)) {
    throw new BrokerError(
      `${where}.staticMemberId is ${JSON.stringify(staticMemberId)}; it must be 1 to 249 of A-Z a-z 0-9 . _ -`,
    );
  }
  if (!(Number.isInteger(session) && session >= 1_000 && session <= 1_800_000)) {
    throw new BrokerError(`${where}.sessionTimeoutMs is ${session}; it must be a whole number from 1000 to 1800000`);
  }
  if (protocol === "consumer" && options.sessionTimeoutMs !== undefined) {
    throw new BrokerError(
      `${where}.sessionTimeoutMs is set, but with protocol "consumer" the broker decides (group.consumer.session.timeout.ms); leave it out`,
    );
  }
  return { protocol, instanceId: staticMemberId, sessionTimeoutMs: session };
}
