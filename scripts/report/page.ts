import { REPORT_STYLE } from './report-style.js';
import { escapeXml } from './svg.js';

/** A report as one HTML document without any reference to another file. `main` is HTML, the rest is text. */
export function reportDocument(options: {
  readonly title: string;
  readonly kicker: string;
  readonly heading: string;
  readonly lead: string;
  readonly main: string;
}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>${escapeXml(options.title)} · Twinwatch</title>
<style>${REPORT_STYLE}</style>
</head>
<body>
<header><p>${escapeXml(options.kicker)}</p><h1>${escapeXml(options.heading)}</h1>
<p class="lead">${escapeXml(options.lead)}</p></header>
<main>
${options.main}
</main>
</body>
</html>
`;
}

/** @param body HTML. */
export function section(title: string, body: string): string {
  return `<section><h2>${escapeXml(title)}</h2>${body}</section>`;
}

/** Columns from `numbersFrom` on are aligned as numbers. */
export function table(head: readonly string[], rows: readonly (readonly string[])[], numbersFrom = 1): string {
  const cell = (tag: 'td' | 'th', index: number) => `${tag}${index >= numbersFrom ? ' class="number"' : ''}`;
  const titles = head.map((words, index) => `<${cell('th', index)} scope="col">${escapeXml(words)}</th>`).join('');
  const body = rows
    .map((row) => `<tr>${row.map((words, index) => `<${cell('td', index)}>${escapeXml(words)}</td>`).join('')}</tr>`)
    .join('');
  return `<div class="scroll"><table><thead><tr>${titles}</tr></thead><tbody>${body}</tbody></table></div>`;
}
