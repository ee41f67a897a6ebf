/**
 * The package `jose`, an optional peer dependency: the only file that knows it. It is loaded when a server with JWTs
 * starts.
 */
export type Jose = typeof import("jose");

let loading: Promise<Jose> | undefined;

/** @throws (rejects) an Error that says what to install. @param load for tests */
export function loadJose(load: () => Promise<Jose> = () => import("jose")): Promise<Jose> {
  loading ??= load().catch((cause: unknown) => {
    loading = undefined; // installed later, it is found without a restart
    throw new Error(
      'authenticate: JWTs are verified by the package "jose", which cannot be loaded; install it: npm install jose@6',
      { cause },
    );
  });
  return loading;
}
