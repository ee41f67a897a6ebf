// For the test, which is TypeScript; the file itself must run on a Node that is not.
export type Outcome =
  | { readonly path: string; readonly version: string }
  | { readonly address: string; readonly version: string }
  | { readonly reason: string };

export function givenServer(variable: string, defaultPort: number): Promise<Outcome | undefined>;
