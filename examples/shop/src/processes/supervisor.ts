import { InstanceList } from "./instance-list.ts";
import type { Replicas } from "./replicas.ts";
import { type ServiceOutput, ServiceProcess, type StartFailure } from "./service-process.ts";
import { portOf, type ServiceName } from "./services.ts";

export interface SupervisorOptions {
  /** The services to start, with the number of instances of each. */
  readonly replicas: Replicas;
  readonly offset: number;
  readonly host: string;
  /** Of the services; `PORT_OFFSET`, `HOST` and where instances are listed are added. */
  readonly environment: NodeJS.ProcessEnv;
  readonly output: ServiceOutput;
}

/** An instance that did not start. */
export interface FailedInstance {
  readonly service: ServiceProcess;
  readonly reason: StartFailure;
}

/** A shop: its services as processes, which are started again when they die, and the lists of those that are ready. */
export class Supervisor {
  readonly services: readonly ServiceProcess[];

  constructor({ replicas, offset, host, environment, output }: SupervisorOptions) {
    const lists = new Map<ServiceName, InstanceList>();
    for (const name of replicas.keys()) lists.set(name, new InstanceList(name, offset));
    const childEnvironment = {
      ...environment,
      PORT_OFFSET: String(offset),
      HOST: host,
      CUSTOMER_INSTANCES: lists.get("customer-service")?.target,
    };
    const processes: ServiceProcess[] = [];
    for (const [name, count] of replicas) {
      for (let instance = 1; instance <= count; instance++) {
        const port = portOf(name, offset, instance);
        const list = lists.get(name);
        processes.push(
          new ServiceProcess({
            name,
            instance,
            colour: processes.length,
            environment: childEnvironment,
            output,
            onReady: pid => list?.add({ host, port, pid }),
            onEnded: () => list?.remove(port),
          }),
        );
      }
    }
    this.services = processes;
  }

  /** Resolves when every service listens, or has failed to: with the first that did, a taken port before others. */
  async start(): Promise<FailedInstance | undefined> {
    const reasons = await Promise.all(this.services.map(service => service.start()));
    const failed = this.services.flatMap((service, index): FailedInstance[] => {
      const reason = reasons[index];
      return reason === undefined ? [] : [{ service, reason }];
    });
    return failed.find(({ reason }) => reason === "port-taken") ?? failed[0];
  }

  /** Lets every service finish its calls; resolves when all have ended. */
  async stop(): Promise<void> {
    await Promise.all(this.services.map(service => service.stop()));
  }

  /** Ends every service at once. */
  kill(): void {
    for (const service of this.services) service.kill();
  }
}
