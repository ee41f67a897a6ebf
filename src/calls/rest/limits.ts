/** A stream that has sent nothing sends its head after this time, in milliseconds, so that its reader knows it is there. */
export const streamHeadMs = 1_000;

/** Milliseconds between the comments that keep a stream of server-sent events open in proxies. */
export const heartbeatMs = 15_000;

/** Query parameters of one request. The head's size bounds them too, but each costs more than its bytes. */
export const queryParametersMax = 1_000;

/** Violations that one answer lists. */
export const violationsMax = 100;

/** Characters of a name of the caller's that an answer says back: more would make its request cost twice. */
export const shownNameMax = 100;

/** The same for the path of a field in a body: 100 messages deep with names of some length. */
export const shownPathMax = 1_000;
