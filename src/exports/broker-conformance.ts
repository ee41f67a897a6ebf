/** `trunkline/broker-conformance`: the suite that a driver of a broker has to pass, for authors of drivers; a judge of histories. */
export {
  type BrokerHarness,
  brokerConformance,
  type GroupVerdict,
  History,
  type HistoryEntry,
  type NumberedEvent,
  type PlainRecord,
} from "../events/conformance/index.ts";
