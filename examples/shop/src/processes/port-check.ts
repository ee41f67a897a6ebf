import { systemPlatform } from "trunkline";

/** Whether something listens there already. A port that cannot be had for another reason counts as free. */
export async function isPortTaken(host: string, port: number): Promise<boolean> {
  try {
    const listening = await systemPlatform.network.listen({ host, port }, stream => stream.destroy());
    await listening.close();
    return false;
  } catch (error) {
    return ((error as Error).cause as NodeJS.ErrnoException | undefined)?.code === "EADDRINUSE";
  }
}
