/**
 * Real servers for tests: RabbitMQ, Kafka and PostgreSQL, found or installed by `scripts/provision.mjs`.
 *
 * A test that only needs a server shares one with other test files (`sharedRabbitmq`), under names of its own
 * (`uniqueName`); a test that stops, kills or pauses one starts its own (`startRabbitmq`), on free ports and in a temporary
 * folder. Either way it says `skip: skipWithout("rabbitmq")` or `skip: skipWithoutOwn("rabbitmq")`. All servers end with
 * the process that started them. Start reading at `server-process.ts`.
 */
export { type Kafka, type KafkaAddress, type KafkaOptions, startKafka } from "./kafka.ts";
export { type Postgres, type PostgresAddress, type PostgresOptions, startPostgres } from "./postgres.ts";
export { type ServerName, skipWithout, skipWithoutOwn } from "./programs.ts";
export { type Rabbitmq, type RabbitmqAddress, startRabbitmq } from "./rabbitmq.ts";
export type { OwnServer } from "./server-process.ts";
export { type Shared, type SharingOptions, sharedKafka, sharedPostgres, sharedRabbitmq, uniqueName } from "./shared.ts";
