import { createServer } from "node:net";

/** Whether something listens there already. A port that cannot be had for another reason counts as free. */
export function isPortTaken(host: string, port: number): Promise<boolean> {
  return new Promise(resolve => {
    const probe = createServer();
    probe.once("error", error => resolve((error as NodeJS.ErrnoException).code === "EADDRINUSE"));
    probe.listen({ host, port, exclusive: true }, () => probe.close(() => resolve(false)));
  });
}
