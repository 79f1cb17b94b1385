import type { Alignment } from './audit.js';

/** What was measured of methods with twins of different quality: the file that `twinwatch experiment --advice` writes. */
export interface MeasuredTwins {
  /** Where the figures come from. */
  readonly source: string;
  readonly twins: readonly MeasuredTwin[];
}

export interface MeasuredTwin {
  readonly scenario: 'replication' | 'label-free';
  readonly name: string;
  /** Distances between twin and plant over those among real sites, means over the seeds. */
  readonly mmdRatio: number;
  readonly swdRatio: number;
  readonly seeds: number;
  readonly methods: readonly MeasuredMethod[];
}

export interface MeasuredMethod {
  /** As the experiment calls it. */
  readonly name: string;
  /** Fields of the server's `rounds` block that make it this method. */
  readonly rounds: Readonly<Record<string, unknown>>;
  /** Area under the precision-recall curve on attacks that nobody learned from. */
  readonly prAuc: { readonly mean: number; readonly deviation: number };
  /** Against FedAvg with the same seeds, which does without the twin; null for FedAvg itself. */
  readonly against: { readonly difference: number; readonly p: number | null } | null;
}

export interface Advice {
  /** Null where no method can be named. */
  readonly method: MeasuredMethod | null;
  readonly usesTwin: boolean;
  /** For a person, the most important first. */
  readonly reasons: readonly string[];
}

/**
 * Names the method that did best with a measured twin that was at least as far from its plant as this one is from this: what was measured with a better
 * twin promises nothing. Below the worst twin that was measured there is nothing to promise at all.
 */
export function advise(alignment: Alignment, areLabelled: boolean, measured: MeasuredTwins): Advice {
  const own = ratiosOf(alignment);
  const scenario = areLabelled ? 'replication' : 'label-free';
  const comparable = measured.twins
    .filter((twin) => twin.scenario === scenario && twin.mmdRatio >= own.mmd && twin.swdRatio >= own.swd)
    .sort((a, b) => a.swdRatio - b.swdRatio)[0];
  const where = `The twin is ${own.swd.toFixed(1)} times as far from the plant as the plant’s own rows are from each other (sliced Wasserstein), ${own.mmd.toFixed(1)} times by MMD.`;
  const labels = areLabelled
    ? 'Sites have labelled attacks of their own to learn from.'
    : 'No site has a labelled attack: the twin’s are all there is.';
  const fedavg =
    measured.twins.find((twin) => twin.scenario === scenario)?.methods.find(({ against }) => against === null) ?? null;
  if (comparable === undefined) {
    const instead = areLabelled
      ? 'Learn without it (fedavg), or fit the twin’s demands to the plant first: `twinwatch fit-demands`.'
      : 'Fit the twin’s demands to the plant first (`twinwatch fit-demands`), or label attacks: without either there is nothing to learn attacks from.';
    return {
      method: areLabelled ? fedavg : null,
      usesTwin: false,
      reasons: [
        `Do not use the twin. ${where}`,
        'That is farther than any twin that was measured here.',
        labels,
        instead,
      ],
    };
  }
  const best = [...comparable.methods].sort((a, b) => b.prAuc.mean - a.prAuc.mean)[0]!;
  const beside = `Measured with the twin '${comparable.name}' (${comparable.swdRatio.toFixed(1)} times, ${comparable.mmdRatio.toFixed(1)} by MMD; ${comparable.seeds} seeds): AUC-PR ${best.prAuc.mean.toFixed(2)} ± ${best.prAuc.deviation.toFixed(2)}.`;
  if (best.against === null)
    return {
      method: best,
      usesTwin: false,
      reasons: [`Do not use the twin: ${best.name} was best without it. ${where}`, labels, beside],
    };
  return {
    method: best,
    usesTwin: true,
    reasons: [`Use ${best.name}. ${where}`, labels, `${beside} ${comparedWords(best.against)}`],
  };
}

function comparedWords({ difference, p }: NonNullable<MeasuredMethod['against']>): string {
  const by = `${difference < 0 ? '−' : '+'}${Math.abs(difference).toFixed(2)} against FedAvg without the twin`;
  if (p === null) return `${by}.`;
  return p < 0.05
    ? `${by} (p ${p < 0.001 ? '< 0.001' : p.toFixed(3)}).`
    : `${by}, which these seeds do not settle (p ${p.toFixed(2)}).`;
}

/** A plant whose own rows do not differ at all cannot be compared with: the ratio is then infinite, or 1 for the same rows. */
export function ratiosOf({ mmd, swd, mmdAmongReal, swdAmongReal }: Alignment): {
  readonly mmd: number;
  readonly swd: number;
} {
  const ratio = (a: number, b: number) => (b > 0 ? a / b : a > 0 ? Number.POSITIVE_INFINITY : 1);
  return { mmd: ratio(mmd.rbf, mmdAmongReal.rbf), swd: ratio(swd, swdAmongReal) };
}
