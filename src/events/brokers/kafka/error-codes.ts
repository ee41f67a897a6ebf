/** Error codes of the Kafka protocol that mean something to us (kafka.apache.org/protocol, "Error Codes"). */
export const code = {
  none: 0,
  offsetOutOfRange: 1,
  corruptMessage: 2,
  unknownTopicOrPartition: 3,
  leaderNotAvailable: 5,
  notLeaderOrFollower: 6,
  requestTimedOut: 7,
  replicaNotAvailable: 9,
  messageTooLarge: 10,
  offsetMetadataTooLarge: 12,
  networkException: 13,
  coordinatorLoadInProgress: 14,
  coordinatorNotAvailable: 15,
  notCoordinator: 16,
  invalidTopic: 17,
  recordListTooLarge: 18,
  notEnoughReplicas: 19,
  notEnoughReplicasAfterAppend: 20,
  illegalGeneration: 22,
  inconsistentGroupProtocol: 23,
  unknownMemberId: 25,
  invalidSessionTimeout: 26,
  rebalanceInProgress: 27,
  topicAuthorizationFailed: 29,
  groupAuthorizationFailed: 30,
  clusterAuthorizationFailed: 31,
  topicAlreadyExists: 36,
  invalidReplicationFactor: 38,
  outOfOrderSequenceNumber: 45,
  duplicateSequenceNumber: 46,
  invalidProducerEpoch: 47,
  invalidTransactionState: 48,
  concurrentTransactions: 51,
  transactionCoordinatorFenced: 52,
  transactionalIdAuthorizationFailed: 53,
  operationNotAttempted: 55,
  kafkaStorageError: 56,
  unknownProducerId: 59,
  fencedLeaderEpoch: 74,
  unknownLeaderEpoch: 75,
  offsetNotAvailable: 78,
  memberIdRequired: 79,
  groupMaxSizeReached: 81,
  fencedInstanceId: 82,
  unstableOffsetCommit: 88,
  throttlingQuotaExceeded: 89,
  producerFenced: 90,
  unknownTopicId: 100,
  invalidRecord: 87,
  fencedMemberEpoch: 110,
  unreleasedInstanceId: 111,
  staleMemberEpoch: 113,
} as const;

const names = new Map<number, string>(
  Object.entries(code).map(([name, number]) => [number, name.replace(/[A-Z]/g, " $&").toLowerCase()]),
);

/** `not leader or follower (6)`. */
export function codeText(number: number): string {
  const name = names.get(number);
  return name === undefined ? `error code ${number}` : `${name} (${number})`;
}

/** Somebody else leads the partition by now, or nobody yet: metadata must be fetched again. */
const staleLeader: ReadonlySet<number> = new Set([
  code.unknownTopicOrPartition,
  code.leaderNotAvailable,
  code.notLeaderOrFollower,
  code.replicaNotAvailable,
  code.networkException,
  code.kafkaStorageError,
  code.fencedLeaderEpoch,
  code.unknownLeaderEpoch,
  code.unknownTopicId,
]);

export function isStaleLeader(number: number): boolean {
  return staleLeader.has(number);
}

/** The coordinator of a group has moved or is not ready: it must be looked up again. */
export function isStaleCoordinator(number: number): boolean {
  return (
    number === code.notCoordinator ||
    number === code.coordinatorNotAvailable ||
    number === code.coordinatorLoadInProgress ||
    number === code.requestTimedOut
  );
}

/** A produce or fetch that may succeed when it is repeated. */
export function isTransient(number: number): boolean {
  return staleLeader.has(number) || transient.has(number);
}

const transient: ReadonlySet<number> = new Set([
  code.corruptMessage,
  code.requestTimedOut,
  code.coordinatorLoadInProgress,
  code.coordinatorNotAvailable,
  code.notCoordinator,
  code.notEnoughReplicas,
  code.notEnoughReplicasAfterAppend,
  code.offsetNotAvailable,
  code.unstableOffsetCommit,
  code.throttlingQuotaExceeded,
]);

export function isNotAuthorized(number: number): boolean {
  return (
    number === code.topicAuthorizationFailed ||
    number === code.groupAuthorizationFailed ||
    number === code.clusterAuthorizationFailed
  );
}
