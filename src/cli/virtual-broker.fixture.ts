import assert from "node:assert/strict";
import type { TestContext } from "node:test";
import { OrderCancelledSchema, OrderCreatedSchema } from "../../examples/shop/src/gen/order/events_pb.ts";
import { on } from "../events/handler.ts";
import { type Broker, connectBroker, Discard, type Subscription } from "../events/index.ts";
import { systemPlatform } from "../platform/index.ts";
import { type VirtualPlatform, virtualPlatform } from "../platform/virtual/index.ts";
import type { Terminal } from "./command.ts";
import { type Recorded, run } from "./recorded-terminal.fixture.ts";

export const eventsModule = "examples/shop/src/gen/order/events_pb.ts";

/** A broker in memory on virtual time, with a group whose handlers fail for as long as they are told to. */
export class VirtualBroker {
  readonly platform: VirtualPlatform;
  readonly broker: Broker;
  readonly handled: string[] = [];
  isFailing = true;

  private constructor(platform: VirtualPlatform, broker: Broker) {
    this.platform = platform;
    this.broker = broker;
  }

  static async start(t: TestContext): Promise<VirtualBroker> {
    const platform = virtualPlatform();
    const broker = await connectBroker("memory:cli", { platform, source: "/test" });
    const made = new VirtualBroker(platform, broker);
    t.after(() => made.until(broker.close()));
    return made;
  }

  /** A member of a group that handles `order.created` and `order.cancelled`. */
  member(group: string): Promise<Subscription> {
    const handle = ({ orderId }: { readonly orderId: string }) => {
      if (this.isFailing) throw new Discard(`no stock for ${orderId}`);
      this.handled.push(orderId);
    };
    return this.until(
      this.broker.subscribe({ group }, on(OrderCreatedSchema, handle), on(OrderCancelledSchema, handle)),
    );
  }

  async publish(...orderIds: readonly string[]): Promise<void> {
    for (const orderId of orderIds) await this.until(this.broker.publish(OrderCreatedSchema, { orderId, total: 5 }));
  }

  /** Lets time pass, a millisecond a turn, until a promise settles. */
  async until<T>(promise: Promise<T>): Promise<T> {
    let isOpen = true;
    const settled = promise.finally(() => {
      isOpen = false;
    });
    settled.catch(() => {});
    for (let turns = 0; isOpen; turns++) {
      assert(turns < 100_000, "it never ends");
      await endOfTurn();
      await this.platform.clock.advance(1);
    }
    return settled;
  }

  /** Lets time pass until something holds. */
  async when(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
    for (let turns = 0; !(await holds()); turns++) {
      assert(turns < 10_000, `waited in vain until ${what}`);
      await endOfTurn();
      await this.platform.clock.advance(1);
    }
  }

  async letters(): Promise<readonly string[]> {
    const found = await Array.fromAsync(this.broker.deadLetters());
    return found.map(({ key = "-" }) => key);
  }

  /** Runs a command line against this broker. */
  cli(args: readonly string[], terminal: Partial<Terminal> = {}, input?: Uint8Array): Promise<Recorded> {
    const surroundings = { platform: this.platform, environment: { EVENTS_URL: "memory:cli" }, ...terminal };
    return this.until(run(process.cwd(), args, input, surroundings));
  }
}

/** What is real meanwhile, such as loading a module, has its turn too. */
function endOfTurn(): Promise<void> {
  return new Promise(resolve => systemPlatform.clock.endOfTurn(resolve));
}

/** The lines of a command with `--json`. */
export function jsonLines({ exitCode, out, error }: Recorded): readonly Record<string, unknown>[] {
  assert.equal(exitCode, 0, error);
  return out
    .trim()
    .split("\n")
    .filter(line => line !== "")
    .map(line => JSON.parse(line) as Record<string, unknown>);
}
