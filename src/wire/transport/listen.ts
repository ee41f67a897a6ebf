import { silentObserver, systemPlatform } from "../../platform/index.ts";
import { Listener, type ListenerOptions } from "./listener.ts";
import { serverProtocols } from "./protocols.ts";

/** Opens a port. @throws (rejects) an Error that names host, port and option when it cannot be opened */
export async function listen(options: ListenerOptions): Promise<Listener> {
  const { platform = systemPlatform, observer = silentObserver } = options;
  const listener = new Listener(options, serverProtocols(platform.clock, observer, options));
  await listener.open(options);
  return listener;
}
