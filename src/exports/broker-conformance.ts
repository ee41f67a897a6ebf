/** `trunkline/broker-conformance`: the suite that a driver of a broker has to pass, for authors of drivers. */
export { type BrokerHarness, brokerConformance, type PlainRecord } from "../events/conformance/index.ts";
