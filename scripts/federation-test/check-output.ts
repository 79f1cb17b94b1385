/** The table that `twinwatch broker-check` prints, as concern → verdict. */
export function verdicts(output: string): Readonly<Record<string, string>> {
  const lines = [...output.matchAll(/^(OK|CHANGE|UNKNOWN) +(\S+(?: \S+)*) {2}/gm)];
  return Object.fromEntries(lines.map(([, verdict, concern]) => [concern!, verdict!]));
}
