import type { CertificateView } from '@twinwatch/core/wire/http';
import { dateTimeWords } from '../wording.js';
import { Fact } from './fact.js';

const WARN_BEFORE_MS = 30 * 86_400_000;
const SHOWN = 10;

interface CertificatesProps {
  readonly certificates: readonly CertificateView[];
  /** Wall clock. */
  readonly nowMs: number;
}

/** What ends within 30 days, has ended, or is not known for a damaged file, first what ends first. Nothing is shown while there is none. */
export function Certificates({ certificates, nowMs }: CertificatesProps) {
  const due = certificates
    .filter(({ notAfterMs }) => notAfterMs === null || notAfterMs - nowMs < WARN_BEFORE_MS)
    .sort((a, b) => (a.notAfterMs ?? 0) - (b.notAfterMs ?? 0));
  if (due.length === 0) return null;
  return (
    <section className="panel" aria-labelledby="certificates-title" data-testid="certificates">
      <h2 id="certificates-title">Certificates to renew</h2>
      <dl className="facts">
        {due.slice(0, SHOWN).map(({ holder, isAgent, notAfterMs }) => (
          <Fact
            key={`${holder} ${isAgent} ${notAfterMs}`}
            name={isAgent ? `agent ${holder}` : holder}
            value={endWords(notAfterMs, nowMs)}
          />
        ))}
        {due.length > SHOWN && <Fact name="and" value={`${due.length - SHOWN} more`} />}
      </dl>
    </section>
  );
}

function endWords(notAfterMs: number | null, nowMs: number): string {
  if (notAfterMs === null) return 'its file is damaged; it is not believed';
  return `${notAfterMs <= nowMs ? 'ended' : 'ends'} ${dateTimeWords(notAfterMs)}`;
}
