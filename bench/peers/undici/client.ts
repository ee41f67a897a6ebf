import { Pool } from "undici";
import { drive, type Load, type LoadOptions, unary } from "../protocol/drive.ts";
import { checkOrder, orderId } from "../protocol/order.ts";

/** `request` on a Pool without pipelining: the fastest of undici's documented ways that keeps each answer's body. */
function getOrder({ port, concurrency }: LoadOptions): Load {
  const pool = new Pool(`http://127.0.0.1:${port}`, { connections: concurrency });
  const get = async () => {
    const { statusCode, body } = await pool.request({ method: "GET", path: `/orders/${orderId}` });
    if (statusCode !== 200) throw new Error(`status ${statusCode}`);
    return (await body.json()) as { orderId: string; items: unknown[] };
  };
  return { check: async () => checkOrder(await get()), step: unary(get) };
}

await drive({ "rest-client-64": getOrder });
