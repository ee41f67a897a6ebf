import { type Platform, systemPlatform } from "../../src/exports/index.ts";

/**
 * The machine with a pod network: 10.99.0.x is 127.0.0.x. The API server takes no loopback addresses into slices, and
 * further addresses of this machine would need its administrator.
 */
export const podPlatform: Platform = {
  ...systemPlatform,
  network: {
    ...systemPlatform.network,
    connect: (options, signal) =>
      systemPlatform.network.connect({ ...options, host: options.host.replace(/^10\.99\.0\./, "127.0.0.") }, signal),
  },
};

/** The address in the pod network of a server on this machine. */
export function podAddress(last: number): string {
  return `10.99.0.${last}`;
}
