import { type ModelProvenance, type ModelView, onnxPath, type RegistryView } from '@twinwatch/core/wire/http';
import { bytesWords, dateTimeWords, scoreWords } from '../wording.js';
import { Fact } from './fact.js';
import { Empty } from './marks.js';

interface ModelCardProps {
  readonly model: ModelView | null;
  readonly registry: RegistryView | null;
}

/** The detector the sites are told to run. */
export function ModelCard({ model, registry }: ModelCardProps) {
  return (
    <section className="panel model" aria-labelledby="model-title" data-testid="model">
      <h2 id="model-title">
        Current detector
        {model !== null && (
          <a className="download" href={onnxPath(model.modelVersion)} download>
            Download ONNX
          </a>
        )}
      </h2>
      {model === null ? (
        <Empty title="No detector released yet.">
          The best round so far is exported to ONNX, checked against onnxruntime, and offered to every site.
        </Empty>
      ) : (
        <dl className="facts">
          <Fact name="version" value={model.modelVersion} />
          <Fact name="from round" value={String(model.round)} />
          <Fact name="threshold" value={scoreWords(model.threshold)} />
          {model.provenance !== undefined && <Fact name="PR AUC" value={areaWords(model.provenance)} />}
          <Fact name="ROC AUC" value={scoreWords(model.rocAuc)} />
          <Fact name="size" value={bytesWords(model.bytes)} />
          <Fact name="released" value={dateTimeWords(model.releasedAtMs)} />
          <div>
            <dt>SHA-256</dt>
            <dd>
              <code title={model.hash}>{model.hash.slice(0, 12)}…</code>
            </dd>
          </div>
        </dl>
      )}
      <Course registry={registry} />
    </section>
  );
}

function areaWords({ prAuc, attackShare }: ModelProvenance): string {
  return `${scoreWords(prAuc)}${attackShare === undefined ? '' : `, guessing ${scoreWords(attackShare)}`}`;
}

/** The model on trial, or what has become of the newest one, where it is not simply the one that runs. */
function Course({ registry }: { readonly registry: RegistryView | null }) {
  const newest = registry?.models[0] ?? null;
  if (registry === null || newest === null) return null;
  const { candidate } = registry;
  if (candidate === null && newest.stage === 'released') return null;
  const shown = registry.models.find(({ modelVersion }) => modelVersion === candidate?.modelVersion) ?? newest;
  return (
    <dl className="facts" data-testid="candidate">
      <Fact name={candidate === null ? 'newest' : 'on trial'} value={shown.modelVersion} />
      <Fact name="state" value={shown.stage} />
      {candidate !== null && (
        <Fact name="told" value={`${candidate.told} of ${candidate.agents.length} sites, ${candidate.rows} rows`} />
      )}
      <div>
        <dt>why</dt>
        <dd>{shown.reason}</dd>
      </div>
      {newest.stage === 'waiting' && <Fact name="waiting" value={newest.modelVersion} />}
    </dl>
  );
}
