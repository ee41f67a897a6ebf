import { jsonPage, type Page, pagesHandler } from "../calls/rest/index.ts";
import type { HttpHandler } from "../calls/rpc/index.ts";
import { type AsyncApiOptions, type CheckedAsyncApi, checkedAsyncApi } from "../events/asyncapi/index.ts";
import type { BrokerDescription } from "../events/index.ts";

export interface ServerAsyncApiOptions extends AsyncApiOptions {
  /** @default "/asyncapi.json" */
  readonly path?: string | undefined;
}

/**
 * Serves the AsyncAPI document of a service. It is made for the first who asks, and again when the subscriptions are others.
 * @throws ContractError, BrokerError for options that mean nothing; TypeError for a path that is none
 */
export function asyncApiRoute({ path = "/asyncapi.json", ...options }: ServerAsyncApiOptions): HttpHandler {
  if (typeof path !== "string" || !/^\/[!-"$->@-~]*$/.test(path)) {
    throw new TypeError(
      `createServer: asyncapi.path is ${JSON.stringify(path)}; it must be a path such as "/asyncapi.json", without ? and #`,
    );
  }
  const checked = checkedAsyncApi(options);
  let shown: { readonly of: string; readonly page: Promise<Page> } | undefined;
  return pagesHandler([path], () => {
    const broker = checked.describe();
    const now = shownOf(broker);
    if (shown?.of !== now) {
      const page = render(checked, broker);
      const made = { of: now, page };
      shown = made;
      // Whoever asks next tries again.
      page.catch(() => {
        if (shown === made) shown = undefined;
      });
    }
    return shown.page;
  });
}

async function render(options: CheckedAsyncApi, broker: BrokerDescription | undefined): Promise<Page> {
  // Loaded when wanted, as that of REST.
  const { asyncapiDocument } = await import("../events/asyncapi/document.ts");
  return jsonPage(await asyncapiDocument(options, broker ?? {}));
}

/** The same for what makes the same document. */
function shownOf(broker: BrokerDescription | undefined): string {
  if (broker === undefined) return "";
  const { name, source, contentType, subscriptions } = broker;
  return JSON.stringify([
    name,
    source,
    contentType,
    ...subscriptions.map(({ group, queue, events, requests }) => [
      group,
      queue,
      events.map(({ typeName }) => typeName),
      requests.map(({ request, reply }) => [request.typeName, reply.typeName]),
    ]),
  ]);
}
