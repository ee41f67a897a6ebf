/** What came of one thing that the page tried. */
export type Verdict =
  | { readonly name: string; readonly result: unknown }
  | { readonly name: string; readonly error: string };
