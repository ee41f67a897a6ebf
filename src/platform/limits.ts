/** Limits and defaults of the platform, each with its unit and reason. */

/** A connection attempt that takes longer has failed: SYN retransmissions at 1, 3 and 7 s fit in. */
export const connectTimeoutMs = 10_000;

/** Output that waits before `write` answers `false`: one socket buffer's worth, the default of Node's streams. */
export const outputHighWaterBytes = 65_536;

/** Input buffer that all plain sockets share: the size libuv suggests for a read. */
export const readBufferBytes = 65_536;

/** Connections waiting in the kernel to be accepted: Node's and nginx's default. */
export const listenBacklog = 511;

/** TCP keepalive starts after this silence, so that peers that vanished are noticed on idle connections. */
export const tcpKeepaliveMs = 60_000;

/** The longest time that the timer wheel places at once; longer delays are placed again when it has passed (12 days). */
export const wheelHorizonTicks = 2 ** 30;

/** For one of two attempts at a DNS query: resolv.conf's 5 s is longer than a call should wait for a lost packet. */
export const dnsTimeoutMs = 2_000;

/** The machine's table of hosts is read up to this size; those that block advertisements have some megabytes. */
export const hostsFileBytesMax = 16 * 1_048_576;

/** The longest pause between two tries of a SQLite transaction that another connection is in the way of; the first is a 32nd of it. */
export const sqlitePauseMs = 32;
