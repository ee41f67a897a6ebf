/** Limits of routes outside the contract. */
export interface FetchLimits {
  /**
   * Largest body of a request in bytes. It reaches the handler as a stream with back-pressure, but `request.json()` and its
   * like gather whatever comes. `Infinity` for handlers that stream uploads. @default 4 MiB, as messages of calls
   */
  readonly fetchBodyBytesMax: number;
}

/** The limits with the defaults for what is not given. @throws TypeError for what is no size */
export function fetchLimits(given: Partial<FetchLimits> = {}): FetchLimits {
  const fetchBodyBytesMax = given.fetchBodyBytesMax ?? 4 * 1024 * 1024;
  if (!(fetchBodyBytesMax >= 0)) {
    throw new TypeError(`limits: fetchBodyBytesMax is ${fetchBodyBytesMax}; it must be 0 or more`);
  }
  return { fetchBodyBytesMax };
}
