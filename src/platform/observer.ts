/**
 * How the layers tell what happens in them. An event is a plain object with a `type`; each layer declares its own and
 * the observer hears them all. Only the mechanism lives here.
 */
export interface ObservedEvent {
  /** Dotted and stable, for example `http2.connection.closed`. */
  readonly type: string;
}

export interface Observer {
  /** Must not throw; is called synchronously on hot paths, so it should only record. */
  emit(event: ObservedEvent): void;
}

/** Hears nothing. */
export const silentObserver: Observer = { emit() {} };
