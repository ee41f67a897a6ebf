/**
 * RabbitMQ (AMQP 0-9-1) behind the port of brokers. Imports `platform` and the port; amqplib only by `amqplib-client.ts`.
 *
 * Start at `driver.ts`. Below it: `supervised-connection.ts` keeps a connection, `publisher.ts` what is unconfirmed,
 * `lane-consumer.ts` and `lane.ts` a channel that consumes, `topology.ts` and `ladder.ts` say what exchanges and queues there
 * are, `message.ts` what an event looks like on the wire.
 */
import { readFileSync } from "node:fs";
import type { BrokerDriver, DriverContext } from "../../driver.ts";
import { parseAddress } from "./address.ts";
import { amqplibClient } from "./amqplib-client.ts";
import { RabbitmqDriver } from "./driver.ts";

export type { RabbitmqEvent } from "./observed.ts";

/**
 * Connects to RabbitMQ: `amqp://user:password@host1,host2:5673/vhost`, `amqps://` with TLS. Parameters are those of RabbitMQ's
 * URI specification (`heartbeat` in seconds, `connection_timeout` in milliseconds, `auth_mechanism=external`, `cacertfile`,
 * `certfile`, `keyfile`, `password`, `verify`, `server_name_indication`) and ours: `mandatory=false` lets events pass that no
 * queue is bound for, `prefix` begins the names of shared queues (`trunkline`), `publish_timeout` in milliseconds.
 *
 * @throws BrokerError when no host can be reached, with what to do about it
 */
export async function connectRabbitmq(url: string | URL, context: DriverContext): Promise<BrokerDriver> {
  const address = parseAddress(url, path => readFileSync(path));
  const client = await amqplibClient(context.platform.clock);
  return await RabbitmqDriver.connect(address, client, context);
}
