/** Limits and defaults of resolvers, each with its unit and reason. */

/**
 * Endpoints of one target; what is above, in the order of the list, is left out and told to the observer. A Kubernetes
 * Service of this size fills a hundred EndpointSlices; connections to more than some dozens help no client.
 */
export const endpointsMax = 10_000;

/** Two resolutions begin at least this far apart, whatever asks for them: a hundred failing connections are one hint. */
export const resolveIntervalMinMs = 1_000;

/** A share of every pause is random, so that the instances of a service that started together spread out. */
export const jitter = 0.2;

/** A resolution that has not ended by then has failed: c-ares may try several servers twice, 2 s each. */
export const resolveTimeoutMs = 15_000;

/** Pause after the first failed resolution; doubles with each further one. */
export const retryMinMs = 1_000;

/** What was right half a minute ago is usually right still; a repaired server is found again in that time. */
export const retryMaxMs = 30_000;

/** Times to live of DNS below this would be a query for every call; 0 is common for load-balanced names. */
export const ttlMinMs = 1_000;

/** Times to live above this would hide a moved service for longer than its operators expect. */
export const ttlMaxMs = 300_000;

/** Answers that carry no time to live: the system's look-up, service records (Node does not show theirs). */
export const unknownTtlMs = 30_000;

/** Target names of one set of service records; their addresses are asked for one by one. */
export const serviceTargetsMax = 1_000;

/** Address queries of one set of service records at the same time: a resolver on the same node bears that. */
export const serviceQueriesMax = 16;

/** Names tried by the search option; resolv.conf has six. */
export const searchDomainsMax = 16;

/** The worst priority, as of service records (RFC 2782: 16 bits). */
export const priorityMax = 65_535;

/** How often a file of endpoints is looked at. Reading its state costs some microseconds. */
export const filePollMs = 1_000;

/** A file of endpoints: ten thousand of them with metadata. */
export const fileBytesMax = 4 * 1_048_576;

/** Names and values of an endpoint's metadata, all together, in characters. */
export const metadataCharactersMax = 8_192;

/** EndpointSlices of one Service: ten thousand endpoints fill a hundred; each may hold fewer. */
export const slicesMax = 1_000;

/** One object of a watch, in characters: etcd keeps at most 1.5 MiB of it in a denser form. */
export const watchLineCharactersMax = 8 * 1_048_576;

/** One page of a list: the objects asked for with `limit`, each with a hundred endpoints of half a kilobyte. */
export const listBytesMax = 64 * 1_048_576;

/** EndpointSlices in one page of a list, as client-go asks for. */
export const listPageSize = 500;

/** Of an answer that is not 200: a Status object. */
export const statusBytesMax = 65_536;

/** A watch is asked to end after this time, up to twice as much, as client-go does; servers come and go. */
export const watchTimeoutMinMs = 300_000;

/** What a server has beyond the time that it was asked for, before the connection counts as dead. */
export const watchGraceMs = 30_000;

/** A watch that lived so long was a working one: the pause after its end starts from the smallest again. */
export const watchHealthyMs = 5_000;

/** The head of an answer of the API server; a list of a large Service takes it a second. */
export const apiAnswerTimeoutMs = 15_000;

/** Kubeconfig, certificates and tokens. */
export const credentialBytesMax = 1_048_576;
