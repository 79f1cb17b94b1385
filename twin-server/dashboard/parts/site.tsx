import type { Tag } from '@twinwatch/core/scada/tag';
import type { AgentView } from '@twinwatch/core/wire/http';
import type { Telemetry } from '@twinwatch/core/wire/telemetry';
import { type Alarm, isActive } from '../alarm-list.js';
import { bytesWords, countWords, dateTimeWords, durationWords, MISSING } from '../wording.js';
import { Fact } from './fact.js';
import { Empty, WarningMark } from './marks.js';
import { ScorePlot } from './score-plot.js';
import { TagTile } from './tag-tile.js';

interface SiteProps {
  readonly agent: AgentView | null;
  readonly history: readonly Telemetry[];
  /** Of this site, newest first. */
  readonly alarms: readonly Alarm[];
  readonly tags: readonly Tag[];
  readonly threshold: number | null;
}

/** Below it a tag is not marked: it would read 0 %. */
const LEAST_SHARE = 0.005;

/** One site in detail: health, score against threshold, and every tag it shows. */
export function Site({ agent, history, alarms, tags, threshold }: SiteProps) {
  if (agent === null) {
    return (
      <section className="panel site" aria-labelledby="site-title" data-testid="site">
        <h2 id="site-title">Live tags</h2>
        <Empty title="No site to show.">
          The score and the live tags of the site you choose in the fleet appear here.
        </Empty>
      </section>
    );
  }
  const last = history.at(-1);
  const live = agent.status?.online === true;
  const when = last === undefined ? '' : dateTimeWords(last.atMs);
  const accused = new Map(
    alarms
      .filter(isActive)
      .flatMap(({ cause }) => cause.contributions.map(({ tag, share }) => [tag, share] as const))
      .filter(([, share]) => share >= LEAST_SHARE),
  );
  return (
    <section className={live ? 'panel site' : 'panel site offline'} aria-labelledby="site-title" data-testid="site">
      <h2 id="site-title">
        {agent.id}{' '}
        <small>
          {last === undefined
            ? 'live tags'
            : live
              ? `live tags, plant time ${when}`
              : `last values, from plant time ${when}`}
        </small>
      </h2>
      <Health agent={agent} />
      {agent.unfit !== undefined && (
        <p className="fault">
          <WarningMark /> This site takes no part in the federation: {agent.unfit}
        </p>
      )}
      {!live && last !== undefined && (
        <p className="fault">
          <WarningMark /> The site is offline: nothing below is live.
        </p>
      )}
      {last === undefined ? (
        <Empty title="This site shows no live values.">
          Rows stay on the device. A site that may show them here sets <code>{'telemetry: { everyMs: 1000 }'}</code> in
          its agent.yaml; the first values follow its first complete row.
        </Empty>
      ) : (
        <>
          <ScorePlot
            site={agent.id}
            history={history}
            alarms={alarms.filter(({ cause }) => cause.communication === undefined)}
            threshold={threshold}
          />
          <ul className="tiles" aria-label={`Live tags of ${agent.id}`}>
            {Object.keys(last.values).map((name) => (
              <TagTile
                key={name}
                name={name}
                tag={tags.find((tag) => tag.name === name)}
                history={history}
                share={accused.get(name) ?? null}
              />
            ))}
          </ul>
        </>
      )}
    </section>
  );
}

function Health({ agent }: { readonly agent: AgentView }) {
  const health = agent.status?.health;
  if (health === null || health === undefined) return <p className="muted">No health report from this site yet.</p>;
  const faults = Object.entries(health.deviceFaults);
  return (
    <>
      <dl className="facts">
        <Fact name="rows" value={countWords(health.rowsAcquired)} title="Rows acquired since the agent started" />
        <Fact
          name="missing"
          value={countWords(health.rowsMissing)}
          warn={health.rowsMissing > 0}
          title="Rows that should have come and did not"
        />
        <Fact name="bad samples" value={countWords(health.badSamples)} title="Values whose quality was not good" />
        <Fact
          name="dropped"
          value={countWords(health.droppedTelemetry)}
          warn={health.droppedTelemetry > 0}
          title="Telemetry for this page that was left out because the line was busy or down"
        />
        <Fact
          name="unsent"
          value={countWords(health.outboxEvents)}
          title="Alarm events without a receipt of the server: they are kept on the device and sent again"
        />
        {(health.droppedEvents ?? 0) > 0 && (
          <Fact name="alarm events lost" value={countWords(health.droppedEvents)} warn />
        )}
        <Fact name="memory" value={bytesWords(health.rssBytes)} />
        <Fact
          name="latency p50 / p99"
          title="From the first device’s answer of a row’s scan to the alarm decided"
          value={
            health.sensorToAlarmMsP50 === null
              ? MISSING
              : `${durationWords(health.sensorToAlarmMsP50)} / ${durationWords(health.sensorToAlarmMsP99)}`
          }
        />
      </dl>
      {faults.map(([device, reason]) => (
        <p key={device} className="fault">
          <WarningMark /> {device}: {reason}
        </p>
      ))}
    </>
  );
}
