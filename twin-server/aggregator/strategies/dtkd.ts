import { rowWeights } from './row-weights.js';
import { PLAIN_PLAN, type Strategy } from './strategy.js';

/**
 * DTKD, digital-twin knowledge distillation of arXiv 2601.01701, as docs/methods.md states it: the teacher is the twin model after
 * `rounds.dtkd.teacherEpochs` on D_tw; clients minimise  (1 − α) · BCE + α · T² · KL(teacher_T ‖ student_T), rows without a label the
 * second term alone; then Θ^{t+1} = Θ_agg. The paper's: that, and 5 epochs. Ours: α (0.5) and T (2); the teacher of an ensemble is its
 * mean score, for every member; it is trained once, sent once, and kept by agents. The light variant, for which the paper calls: an
 * 8-bit teacher (`teacherCodec`) and soft labels computed on the fly, batch by batch, instead of stored for the fit (`softLabels`).
 */
export const dtkd: Strategy = {
  name: 'dtkd',
  plan: ({ config }) => ({ ...PLAIN_PLAN, teacher: { epochs: config.dtkd.teacherEpochs } }),
  weights: ({ clients }) => rowWeights(clients),
  integrate: ({ aggregated, twin }) => ({ global: aggregated, twin }),
};
