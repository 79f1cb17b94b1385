import type { RefusedMessages } from '@twinwatch/core/wire/http';
import { dateTimeWords } from '../wording.js';
import { Fact } from './fact.js';

const SHOWN = 5;

/** Messages that were forged, replayed, meant for elsewhere or not to be read. Nothing is shown while there are none. */
export function Refused({ refused }: { readonly refused: readonly RefusedMessages[] }) {
  if (refused.length === 0) return null;
  return (
    <section className="panel" aria-labelledby="refused-title" data-testid="refused">
      <h2 id="refused-title">Refused messages</h2>
      <dl className="facts">
        {refused.slice(0, SHOWN).map(({ sender, count, byCode, last }) => (
          <div key={sender} title={last.detail}>
            <dt>{sender}</dt>
            <dd>
              {count}, last {dateTimeWords(last.atMs)}: {Object.keys(byCode).join(', ')}
            </dd>
          </div>
        ))}
        {refused.length > SHOWN && <Fact name="and" value={`${refused.length - SHOWN} more`} />}
      </dl>
    </section>
  );
}
