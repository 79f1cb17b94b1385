import { reportDocument, section, table } from '../../report/page.js';
import { escapeXml } from '../../report/svg.js';
import type { Drawing } from './experiment-drawings.js';
import { PLOT_STYLE } from './experiment-plots.js';
import { alignmentTable, experimentTables } from './experiment-tables.js';
import { dataWords, type ExperimentAbout, METHOD_NOTE, SCENARIO_WORDS } from './experiment-words.js';
import type { RunGroup } from './summarise.js';

/** The report as one HTML document, with its plots inside. */
export function experimentReport(
  about: ExperimentAbout,
  groups: readonly RunGroup[],
  drawings: readonly Drawing[],
): string {
  const { config } = about;
  const figures = (part: string) =>
    drawings
      .filter(({ name }) => name.startsWith(part))
      .map(({ svg }) => `<figure>${svg}</figure>`)
      .join('');
  const plain = ['convergence', 'rounds-to', 'bytes-to'];
  const swept = drawings
    .filter(({ name }) => !plain.some((part) => name.startsWith(part)))
    .map(({ svg }) => `<figure>${svg}</figure>`)
    .join('');
  const sections = [
    `<style>${PLOT_STYLE}</style>`,
    section(
      'Who has which labels',
      `<p>${escapeXml(SCENARIO_WORDS[config.scenario])}</p><p>${escapeXml(dataWords(about))} Seeds ${config.seeds.join(', ')}.</p>`,
    ),
    ...[
      ['Convergence', figures('convergence')],
      ['Rounds to target', figures('rounds-to')],
      ['Bytes to target', figures('bytes-to')],
      ['Sweeps', swept],
    ].flatMap(([title, body]) => (body === '' ? [] : [section(title!, body!)])),
    ...[...experimentTables(config, groups), alignmentTable(groups)].map(({ title, head, rows }) =>
      section(title, table(head, rows)),
    ),
    `<p class="fine">Figures are ${escapeXml(METHOD_NOTE)}</p>`,
  ];
  return reportDocument({
    title: config.title,
    kicker: 'Twinwatch experiment',
    heading: config.title,
    lead: config.question,
    main: sections.join('\n'),
  });
}
