/** A stream that has sent nothing sends its head after this time, in milliseconds, so that its reader knows it is there. */
export const streamHeadMs = 1_000;

/** Milliseconds between the comments that keep a stream of server-sent events open in proxies. */
export const heartbeatMs = 15_000;

/** Query parameters of one request. The head's size bounds them too, but each costs more than its bytes. */
export const queryParametersMax = 1_000;

/** Violations that one answer lists. */
export const violationsMax = 100;
