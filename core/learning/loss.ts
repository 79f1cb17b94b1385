/** Logistic function without overflow. */
export function sigmoid(logit: number): number {
  if (logit >= 0) return 1 / (1 + Math.exp(-logit));
  const e = Math.exp(logit);
  return e / (1 + e);
}

/** Binary cross-entropy −y·ln σ(z) − (1−y)·ln(1−σ(z)), from the logit z so that it is exact for confident scores; y may be any probability. */
export function crossEntropy(logit: number, label: number): number {
  return Math.max(logit, 0) - logit * label + Math.log1p(Math.exp(-Math.abs(logit)));
}
