import { reportDocument, section, table } from '../report/page.js';
import { escapeXml } from '../report/svg.js';
import type { FidelityData } from './fidelity-data.js';
import { correlationPlot, dutyPlot, hourlyPlot, quantilePlot, ratioPlot } from './plots.js';
import { overallRows } from './summary.js';

/** Only what this report draws and the others do not. */
const STYLE = `<style>.real{fill:none;stroke:var(--soft);stroke-width:5;stroke-linejoin:round}.heat1{fill:var(--softer)}.heat2{fill:var(--soft)}.heat3{fill:var(--trace)}.heat4{fill:var(--alarm)}
.small{display:grid;grid-template-columns:repeat(auto-fill,minmax(220px,1fr));gap:10px}.key.wide:before{border-top:5px solid var(--soft)}</style>`;

const LEGEND = `<p class="legend"><span class="key wide">real, other half</span><span class="key dashed">twin as configured</span><span class="key">twin fitted</span></p>`;

export function fidelityPage(data: FidelityData): string {
  const tags = [...data.tags.keys()];
  const analog = tags.filter((t) => data.tags[t]!.kind === 'analog');
  return reportDocument({
    title: `Fidelity of ${data.plant}`,
    kicker: 'Twinwatch, fidelity of the twin',
    heading: data.plant,
    lead: `How near the twin's rows are to ${data.real}: ${data.rows.compared} real rows held back, ${data.rows.twin} rows of the twin. Demands were fitted to ${data.rows.fittedTo} other real rows.`,
    main: [
      STYLE,
      section('Overall', overallSection(data)),
      section(
        'Wasserstein distance of each tag',
        `<p>On a tag’s value and its change since the row before, relative to what two halves of the real rows are apart: 1 is as near as reality is to itself. Grey as configured, dark fitted.</p><figure>${ratioPlot(data, 'swd')}</figure>`,
      ),
      section('MMD of each tag', `<figure>${ratioPlot(data, 'mmd')}</figure>`),
      section(
        'Duty cycles',
        `<p>Light: real. Then the twin as configured and fitted.</p><figure>${dutyPlot(data)}</figure>`,
      ),
      section(
        'By hour of the day',
        `${LEGEND}<div class="small">${tags.map((t) => hourlyPlot(data, t)).join('')}</div>`,
      ),
      section(
        'Distributions',
        `<p>Quantiles from the lowest value to the highest.</p>${LEGEND}<div class="small">${analog.map((t) => quantilePlot(data, t)).join('')}</div>`,
      ),
      section(
        'Correlations',
        `<p>Where two tags are correlated otherwise than in the real rows: by 0.1, 0.2, 0.3, and 0.4 or more.</p><div class="pair">${[1, 2].map((which) => `<figure>${correlationPlot(data, which)}</figure>`).join('')}</div>`,
      ),
      section('Every tag', tagTable(data)),
      section('How it was made', runSection(data)),
    ].join('\n'),
  });
}

function overallSection(data: FidelityData): string {
  return `<p>Distances to the half of the real rows that nothing was fitted to. In brackets: how many times what the real rows’ own two halves are apart. MMD and Wasserstein distance on values and changes of all tags, in standard deviations of the real rows.</p>${table(['', ...data.comparisons.map(({ name }) => name)], overallRows(data))}`;
}

function tagTable({ tags, comparisons }: FidelityData): string {
  const head = ['tag', ...comparisons.flatMap(({ name }) => [`${name}: mean`, 'deviation', 'on', 'MMD', 'SWD'])];
  const rows = tags.map(({ name }, t) => [
    name,
    ...comparisons.flatMap(({ comparison }) => {
      const { mean, deviation, dutyCycle, mmd, swd } = comparison.tags[t]!;
      return [mean.toFixed(2), deviation.toFixed(2), dutyCycle.toFixed(3), mmd.toFixed(3), swd.toFixed(3)];
    }),
  ]);
  return table(head, rows);
}

function runSection(data: FidelityData): string {
  const facts: (readonly [string, string])[] = [
    ['Command', data.command],
    ['Seed', String(data.seed)],
    ['Real', data.real],
    ...data.demands,
  ];
  return `<dl class="facts">${facts.map(([name, value]) => `<dt>${escapeXml(name)}</dt><dd>${escapeXml(value)}</dd>`).join('')}</dl>`;
}
