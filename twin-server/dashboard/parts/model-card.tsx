import { type ModelView, onnxPath } from '@twinwatch/core/wire/http';
import { bytesWords, dateTimeWords, scoreWords } from '../wording.js';
import { Empty } from './marks.js';

/** The detector the sites are told to run. */
export function ModelCard({ model }: { readonly model: ModelView | null }) {
  return (
    <section className="panel model" aria-labelledby="model-title" data-testid="model">
      <h2 id="model-title">
        Current detector <small>{model?.modelVersion}</small>
      </h2>
      {model === null ? (
        <Empty title="No detector released yet.">
          The best round so far is exported to ONNX, checked against onnxruntime, and offered to every site.
        </Empty>
      ) : (
        <>
          <dl className="facts">
            <dt>From round</dt>
            <dd>{model.round}</dd>
            <dt>Threshold</dt>
            <dd>{scoreWords(model.threshold)}</dd>
            <dt>Validation ROC AUC</dt>
            <dd>{scoreWords(model.rocAuc)}</dd>
            <dt>Released</dt>
            <dd>{dateTimeWords(model.releasedAtMs)}</dd>
            <dt>SHA-256</dt>
            <dd>
              <code title={model.hash}>{model.hash.slice(0, 16)}…</code>
            </dd>
          </dl>
          <a className="download" href={onnxPath(model.modelVersion)} download>
            Download ONNX <small>{bytesWords(model.bytes)}</small>
          </a>
        </>
      )}
    </section>
  );
}
