import { type ModelView, onnxPath } from '@twinwatch/core/wire/http';
import { bytesWords, dateTimeWords, scoreWords } from '../wording.js';
import { Fact } from './fact.js';
import { Empty } from './marks.js';

/** The detector the sites are told to run. */
export function ModelCard({ model }: { readonly model: ModelView | null }) {
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
    </section>
  );
}
