import assert from "node:assert/strict";
import process from "node:process";
import { setTimeout as delay } from "node:timers/promises";
import { type RunningShop, runShop } from "../../examples/shop/src/black-box/running-shop.ts";
import { portOf, type ServiceName } from "../../examples/shop/src/processes/services.ts";
import { connectBroker } from "../../src/exports/events.ts";

const offset = -25_600;

export interface Order {
  readonly id: string;
  readonly status: string;
}

export interface Summary {
  readonly orders_created: number;
  readonly orders_confirmed: number;
}

/** The shop on a broker, as the guests' programs meet it. */
export class Shop {
  readonly #eventsUrl: string;
  #running: RunningShop | undefined;

  constructor(eventsUrl: string) {
    this.#eventsUrl = eventsUrl;
  }

  async start(): Promise<void> {
    this.#running = runShop("start.ts", offset, ["--fresh"], { EVENTS_URL: this.#eventsUrl });
    await this.#running.until("shop is ready");
  }

  async stop(): Promise<void> {
    this.#running?.child.kill("SIGTERM");
    await this.#running?.closed;
  }

  async get<T>(service: ServiceName, path: string): Promise<T> {
    const response = await fetch(`http://127.0.0.1:${portOf(service, offset)}${path}`);
    assert.equal(response.status, 200, `${service}${path}`);
    return (await response.json()) as T;
  }

  async place(quantity = 1): Promise<Order> {
    const response = await fetch(`http://127.0.0.1:${portOf("order-service", offset)}/api/orders`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        customer_id: "customer-456",
        items: [{ product_id: "product-1", quantity, price: 2.5 }],
      }),
    });
    assert.equal(response.status, 201);
    return (await response.json()) as Order;
  }

  async statusOf(id: string): Promise<string> {
    return (await this.get<Order>("order-service", `/api/orders/${id}`)).status;
  }

  summary(): Promise<Summary> {
    return this.get<Summary>("analytics-service", "/analytics/summary");
  }

  async available(product: string): Promise<number> {
    return (await this.get<{ available: number }>("inventory-service", `/inventory/${product}`)).available;
  }

  async notifications(customer: string): Promise<readonly Readonly<Record<string, unknown>>[]> {
    const path = `/notifications?customer_id=${customer}&page_size=1000`;
    return (await this.get<{ notifications: readonly Record<string, unknown>[] }>("notification-service", path))
      .notifications;
  }

  /** The dead letters of all groups, a line for each. */
  async deadLetters(): Promise<readonly string[]> {
    await using broker = await connectBroker(this.#eventsUrl);
    const lines: string[] = [];
    for await (const { group, reason, exception, place } of broker.deadLetters()) {
      lines.push(`${group}: ${reason} at ${place} ${exception ?? ""}`);
    }
    return lines;
  }
}

/** Asks until `check` holds; fails after half a minute. */
export async function until(what: string, check: () => boolean | Promise<boolean>): Promise<void> {
  const limit = process.uptime() + 30;
  while (!(await check())) {
    assert.ok(process.uptime() < limit, `not within 30 s: ${what}`);
    await delay(25);
  }
}
