import type { Tag } from '@twinwatch/core/scada/tag';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { MISSING, shareWords, tagValueWords } from '../wording.js';
import { Sparkline } from './sparkline.js';

interface TagTileProps {
  readonly name: string;
  /** Undefined until the server knows the schema: then without a unit. */
  readonly tag: Tag | undefined;
  readonly history: readonly Telemetry[];
  /** Its share of the active alarm's score, null where it has none. */
  readonly share: number | null;
}

const SLOTS = 96;
/** So that the first values do not look like a long time. */
const LEAST_SLOTS = 32;

/** One tag: name, value, unit, quality where it is not good, and the last values; or the letters that it holds. */
export function TagTile({ name, tag, history, share }: TagTileProps) {
  const recent = history.slice(-SLOTS);
  const now = recent.at(-1)?.values[name];
  const good = now?.quality === 'good';
  const values = recent.map(({ values }) => {
    const at = values[name];
    return at?.quality === 'good' ? at.value : null;
  });
  const state = [share === null ? '' : 'accused', good ? '' : 'not-good'].join(' ');
  return (
    <li className={`tile ${state}`} data-tag={name}>
      <span className="tile-name">
        {name}
        {share !== null && (
          <span className="tile-share" title="Share of the alarm’s score">
            {' '}
            {shareWords(share)} <span className="unseen">of the alarm</span>
          </span>
        )}
      </span>
      <span className={now?.text === undefined ? 'tile-value' : 'tile-value letters'} title={now?.text}>
        {now?.text !== undefined ? (
          now.text
        ) : (
          <>
            {good ? tagValueWords(now?.value, tag) : MISSING} <small>{tag?.unit}</small>
          </>
        )}
      </span>
      {!good && <span className="tile-quality">{now?.quality ?? 'absent'}</span>}
      {now?.text === undefined && (
        <Sparkline values={values} slots={Math.max(LEAST_SLOTS, values.length)} leastSpan={leastSpan(tag, values)} />
      )}
    </li>
  );
}

function leastSpan(tag: Tag | undefined, values: readonly (number | null)[]): number {
  if (tag !== undefined) return tag.kind === 'status' ? 1 : tag.resolution * 10;
  return Math.abs(values.findLast((value) => value !== null) ?? 0) * 0.02;
}
