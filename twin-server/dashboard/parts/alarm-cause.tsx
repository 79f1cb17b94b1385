import type { Tag } from '@twinwatch/core/scada/tag';
import type { SilentTags } from '@twinwatch/core/wire/alarm-event';
import { type Alarm, isActive } from '../alarm-list.js';
import {
  dateTimeWords,
  durationWords,
  isoTime,
  scoreWords,
  shareWords,
  silentWords,
  tagValueWords,
} from '../wording.js';

interface AlarmCauseProps {
  readonly alarm: Alarm;
  readonly tags: readonly Tag[];
}

const CONTRIBUTIONS_SHOWN = 5;
/** A full bar is at least this share, so that many small shares do not look like large ones. */
const LEAST_FULL_BAR = 0.4;

/** Why an alarm was raised, as it was then. */
export function AlarmCause({ alarm, tags }: AlarmCauseProps) {
  const { communication } = alarm.cause;
  if (communication === undefined) return <Judged alarm={alarm} tags={tags} />;
  return <Silent {...communication} isOver={!isActive(alarm)} />;
}

/** Of an alarm that a detector raised: how sure it was, and what it looked at. */
function Judged({ alarm: { cause, peakScore }, tags }: AlarmCauseProps) {
  const tagOf = (of: string) => tags.find(({ name }) => name === of);
  const shown = cause.contributions.slice(0, CONTRIBUTIONS_SHOWN);
  const full = Math.max(LEAST_FULL_BAR, ...shown.map(({ share }) => share));
  return (
    <>
      <p className="when">
        Score {scoreWords(cause.score)} over the threshold {scoreWords(cause.threshold)}
        {peakScore !== null && peakScore > cause.score && <>, later up to {scoreWords(peakScore)}</>}
      </p>
      <table className="contributions">
        <caption>Tags that moved the score most</caption>
        <thead className="unseen">
          <tr>
            <th scope="col">Tag</th>
            <th scope="col">Share</th>
            <th scope="col">Value</th>
          </tr>
        </thead>
        <tbody>
          {shown.map(({ tag, share, value }) => (
            <tr key={tag}>
              <th scope="row">{tag}</th>
              <td>
                <span className="bar" aria-hidden="true">
                  <span style={{ width: `${Math.max(1, (Math.max(0, share) / full) * 100)}%` }} />
                </span>
                <span className="share">{shareWords(share)}</span>
              </td>
              <td className="number">
                {tagValueWords(value, tagOf(tag))} {tagOf(tag)?.unit}
              </td>
            </tr>
          ))}
        </tbody>
      </table>
      <p className="fine">
        Decided {durationWords(cause.latencyMs)} after the row came in, by {cause.modelVersion}
      </p>
    </>
  );
}

/** Of an alarm that values do not come: which, since when, and why; nobody has judged anything. */
function Silent({ tags, devices = [], sinceMs, reason, isOver }: SilentTags & { readonly isOver: boolean }) {
  return (
    <>
      <p className="when">
        {silentWords({ tags, devices })}
        {sinceMs !== undefined && (
          <>
            {' '}
            since <time dateTime={isoTime(sinceMs)}>{dateTimeWords(sinceMs)}</time>
          </>
        )}
      </p>
      {reason !== '' && <p className="reason">{reason}</p>}
      {tags.length > 0 && (
        <ul className="silent-tags" aria-label="Tags without a good value">
          {tags.map((tag) => (
            <li key={tag}>{tag}</li>
          ))}
        </ul>
      )}
      <p className="fine">
        {isOver
          ? 'Not a detection: the detector abstained until the values were back'
          : 'Not a detection: the detector abstains until the values are back; the alarm then clears by itself'}
      </p>
    </>
  );
}
