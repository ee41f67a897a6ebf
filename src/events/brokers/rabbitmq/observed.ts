import type { ObservedEvent, Observer } from "../../../platform/index.ts";

/** What the driver tells the observer. */
export type RabbitmqEvent = ObservedEvent &
  (
    | {
        readonly type: "rabbitmq.connected";
        readonly connection: string;
        readonly host: string;
        readonly version: string;
      }
    | { readonly type: "rabbitmq.disconnected"; readonly connection: string; readonly error: Error }
    | {
        readonly type: "rabbitmq.connect_failed";
        readonly connection: string;
        readonly error: Error;
        readonly waitMs: number;
      }
    | { readonly type: "rabbitmq.blocked"; readonly connection: string; readonly reason: string }
    | { readonly type: "rabbitmq.unblocked"; readonly connection: string }
    /** The publisher's channel was closed by the broker; what is unconfirmed is sent again. */
    | { readonly type: "rabbitmq.publish_channel_closed"; readonly error: Error }
    /** A consumer's channel ended, or could not be opened; it is tried again in `waitMs`. */
    | {
        readonly type: "rabbitmq.consumer_lost";
        readonly queue: string;
        readonly error: Error;
        readonly waitMs: number;
      }
    /** Something is less than a subscription asks for. */
    | { readonly type: "rabbitmq.warning"; readonly message: string }
  );

export function tell(observer: Observer, event: RabbitmqEvent): void {
  observer.emit(event);
}
