import { BrokerError } from "../../errors.ts";
import type { AmqpConnection, AmqpDelivery } from "./amqp.ts";
import { heldBytesMax, heldLettersMax } from "./limits.ts";
import { onChannel } from "./topology.ts";

/** What becomes of a message, and whether its visitor has seen enough. */
export type Visit = "keep" | "remove" | "end" | "removeAndEnd";

/**
 * Looks at the messages of a queue from its head, as they are: each is taken without an acknowledgement and given back by the
 * end of the channel, which puts it into its old place (a `nack` would put it at the end of a quorum queue). Messages are out
 * of sight for everybody else meanwhile.
 *
 * @throws BrokerError behind so many messages or bytes that no process should hold more
 */
export async function walk(
  connection: AmqpConnection,
  queue: string,
  visit: (delivery: AmqpDelivery) => Visit | Promise<Visit>,
): Promise<void> {
  await onChannel(connection, async channel => {
    let bytes = 0;
    for (let count = 0; ; count++) {
      const delivery = await channel.get(queue);
      if (delivery === undefined) return;
      if (count >= heldLettersMax || bytes > heldBytesMax) {
        throw new BrokerError(
          `RabbitMQ: the queue "${queue}" has more than ${heldLettersMax} messages or ${heldBytesMax} bytes to look through; ` +
            "replay or discard those at its head first (limit), or move messages out of it",
        );
      }
      bytes += delivery.body.length;
      const wish = await visit(delivery);
      if (wish === "remove" || wish === "removeAndEnd") channel.ack(delivery.tag, false);
      if (wish === "end" || wish === "removeAndEnd") return;
    }
  });
}
