import { BandwidthEstimator } from "./bandwidth-estimator.ts";
import type { Http2Limits } from "./limits.ts";

/**
 * What the peer may send on the connection. Its window is paid on receipt, so that one slow stream holds nobody else up,
 * as long as the bytes that wait for the application stay below the limit; above it only what is consumed is paid.
 */
export class ReceiveWindows {
  readonly estimator: BandwidthEstimator;
  /** Window of a new stream. */
  streamBytes: number;
  /** Size that the connection's window is refilled to. */
  connectionBytes: number;
  /** What the peer may still send. */
  available: number;
  /** Given to the application, not consumed yet. */
  unconsumedBytes = 0;
  readonly #limits: Http2Limits;

  constructor(limits: Http2Limits) {
    this.#limits = limits;
    this.streamBytes = limits.windowBytes;
    this.connectionBytes = Math.max(limits.windowBytes, 65_535);
    this.available = 65_535;
    this.estimator = new BandwidthEstimator(this.connectionBytes, limits.connectionWindowBytesMax);
  }

  /** Increment to announce now, 0 for none: once half of the window is used up and the application keeps up. */
  increment(): number {
    const missing = this.connectionBytes - this.available;
    if (missing * 2 < this.connectionBytes) return 0;
    const held = this.#limits.connectionWindowBytesMax - this.unconsumedBytes - this.available;
    const increment = Math.min(missing, held);
    if (increment <= 0 || (increment < missing && increment * 4 < this.connectionBytes)) return 0;
    this.available += increment;
    return increment;
  }

  /** Takes a new estimate over; answers by how much the streams' windows grow. */
  grow(estimateBytes: number): number {
    this.connectionBytes = Math.max(this.connectionBytes, estimateBytes);
    const streamBytes = Math.min(estimateBytes, this.#limits.streamWindowBytesMax);
    const growth = Math.max(0, streamBytes - this.streamBytes);
    this.streamBytes += growth;
    return growth;
  }
}
