const HEAD = `# Errors

Every error of Twinwatch carries a code, which stays the same between releases and is never reused. Codes and meanings come from \`core/errors.ts\`;
the last column is written here by hand. \`node scripts/dist/generate.js\` keeps the table complete, \`npm run check\` refuses a code without advice.

| code | meaning | what to do |
|---|---|---|
`;

/** What a person wrote in the last column of an existing page, by code. */
function adviceIn(page: string): Map<string, string> {
  const advice = new Map<string, string>();
  for (const line of page.split('\n')) {
    const match = /^\| `([A-Z0-9_]+)` \|(.*)\|(.*)\|$/.exec(line);
    if (match?.[1] !== undefined) advice.set(match[1], (match[3] ?? '').trim());
  }
  return advice;
}

/** docs/errors.md for the codes that exist now, with the advice of the page as it was. */
export function errorsPage(codes: Readonly<Record<string, string>>, before: string): string {
  const advice = adviceIn(before);
  const rows = Object.keys(codes)
    .sort()
    .map((code) => `| \`${code}\` | ${codes[code]?.replaceAll('|', '/')} | ${advice.get(code) ?? ''} |\n`);
  return HEAD + rows.join('');
}

/** Codes that the page says nothing to do about. */
export function codesWithoutAdvice(codes: Readonly<Record<string, string>>, page: string): string[] {
  const advice = adviceIn(page);
  return Object.keys(codes).filter((code) => (advice.get(code) ?? '') === '');
}
