/** What an observer hears of outboxes. */
export type OutboxEvent = OutboxRelayed | OutboxRefused | OutboxFailed | OutboxFenced;

/** Rows were confirmed by the broker and marked. */
export interface OutboxRelayed {
  readonly type: "outbox.relayed";
  readonly count: number;
}

/** The broker will never take a row: it was set aside. Somebody has to look. */
export interface OutboxRefused {
  readonly type: "outbox.refused";
  readonly sequence: number;
  readonly id: string;
  readonly topic: string;
  readonly error: Error;
}

/** A step of the relay failed and is tried again. */
export interface OutboxFailed {
  readonly type: "outbox.failed";
  readonly step: "database" | "publish" | "notify";
  readonly error: unknown;
  readonly retryMs: number;
}

/** Another relay had taken buckets over, because this process slept for longer than its lease: rows may be sent twice. */
export interface OutboxFenced {
  readonly type: "outbox.fenced";
  readonly count: number;
}
