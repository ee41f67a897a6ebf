import type { DescService } from "@bufbuild/protobuf";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../contract/gen/grpc/health/v1/health_pb.ts";
import { RpcError } from "../../errors/index.ts";
import { type Implementation, implement } from "./implement.ts";

export type ServingStatus = "serving" | "not_serving";

/** What the health service answers; the empty name stands for the whole server. */
export interface HealthState {
  set(service: string, status: ServingStatus): void;
  get(service: string): ServingStatus | undefined;
  /** The server drains: nothing serves any more, watchers are told, and their calls end, so that nobody waits for them. */
  stop(): void;
}

/** The gRPC health service v1 over the given service names, and the state that it reports. */
export function health(services: readonly DescService[]): HealthState & { readonly implementation: Implementation } {
  const states = new Map<string, ServingStatus>([["", "serving"]]);
  for (const { typeName } of services) states.set(typeName, "serving");
  const watchers = new Set<() => void>();
  let isStopped = false;
  const statusOf = (service: string) => {
    const state = states.get(service);
    if (state === undefined) return Status.SERVICE_UNKNOWN;
    return state === "serving" ? Status.SERVING : Status.NOT_SERVING;
  };
  const implementation = implement(Health, {
    check({ service }) {
      const status = statusOf(service);
      if (status === Status.SERVICE_UNKNOWN) throw new RpcError("not_found", `service "${service}" is not known`);
      return { status };
    },
    list() {
      return { statuses: Object.fromEntries([...states.keys()].map(name => [name, { status: statusOf(name) }])) };
    },
    async *watch({ service }, call) {
      let wake: (() => void) | undefined;
      const changed = () => wake?.();
      watchers.add(changed);
      call.signal.addEventListener("abort", changed);
      try {
        let last: number | undefined;
        while (!call.signal.aborted) {
          const status = statusOf(service);
          if (status !== last) {
            last = status;
            yield { status };
            continue;
          }
          if (isStopped) return;
          await new Promise<void>(resolve => {
            wake = resolve;
          });
        }
      } finally {
        watchers.delete(changed);
      }
    },
  });
  return {
    implementation,
    get: service => states.get(service),
    set(service, status) {
      states.set(service, status);
      for (const changed of watchers) changed();
    },
    stop() {
      isStopped = true;
      for (const service of states.keys()) states.set(service, "not_serving");
      for (const changed of watchers) changed();
    },
  };
}
