import { open, stat } from "node:fs/promises";

/** Reads files that may be replaced at any time. An argument, so that tests can be the file system. */
export interface Files {
  /** Differs when the file has been replaced or written to. Rejects when there is none. */
  version(path: string): Promise<string>;
  /** The whole file as UTF-8. Rejects when it is larger than `bytesMax`. */
  read(path: string, bytesMax: number): Promise<string>;
}

export const systemFiles: Files = {
  async version(path) {
    // Follows links: a mounted ConfigMap is replaced by turning a link around.
    const { ino, size, mtimeNs, ctimeNs } = await stat(path, { bigint: true });
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`;
  },
  async read(path, bytesMax) {
    const file = await open(path, "r");
    try {
      // One byte more than allowed shows that there is more, also where the size is not known beforehand.
      const buffer = Buffer.alloc(Math.min((await file.stat()).size, bytesMax) + 1);
      let length = 0;
      for (let bytesRead = -1; bytesRead !== 0 && length < buffer.length; length += bytesRead) {
        ({ bytesRead } = await file.read(buffer, length, buffer.length - length));
      }
      if (length > bytesMax) throw new Error(`${path} is larger than ${bytesMax} bytes`);
      return buffer.toString("utf8", 0, length);
    } finally {
      await file.close();
    }
  },
};
