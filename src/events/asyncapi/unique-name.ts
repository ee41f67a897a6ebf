/** The name that is wanted, or the first of `name.2`, `name.3`, … that is not taken yet. */
export function uniqueName(wanted: string, isTaken: (name: string) => boolean, separator = "."): string {
  let name = wanted;
  for (let copy = 2; isTaken(name); copy++) name = `${wanted}${separator}${copy}`;
  return name;
}
