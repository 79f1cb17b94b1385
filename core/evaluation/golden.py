"""Prints the numbers in golden.test.ts: the same measures from scikit-learn and scipy where these have them, else written again
from their definitions in another way (affiliation by drawing out time in fine steps, MMD from whole kernel matrices).

Run: python3 core/evaluation/golden.py   (Debian: python3-sklearn; scipy comes with it)
"""

import numpy as np
from scipy.spatial.distance import cdist, pdist
from scipy.stats import wasserstein_distance
from sklearn.metrics import average_precision_score, balanced_accuracy_score, f1_score, roc_auc_score

ROWS = 400
ATTACKS = [(40, 64), (150, 153), (200, 290), (330, 331)]


def wave(count, pace):
    return np.sin(np.arange(1, count + 1) * pace)


labels = np.zeros(ROWS, int)
for start, end in ATTACKS:
    labels[start:end] = 1
# Two digits, so that scores are tied; alarms run into, over and past attacks, and two touch none.
scores = np.round(0.5 + 0.25 * wave(ROWS, 0.9) + 0.2 * labels * (wave(ROWS, 0.31) > -0.5), 2)
alarms = np.zeros(ROWS, int)
for start, end in [(20, 24), (58, 70), (170, 205), (230, 240), (262, 300), (315, 318), (380, 382)]:
    alarms[start:end] = 1


def runs(flags):
    edges = np.flatnonzero(np.diff(np.concatenate([[0], flags, [0]])))
    return list(zip(edges[::2], edges[1::2]))


print("rocAuc", roc_auc_score(labels, scores))
print("prAuc", average_precision_score(labels, scores))
print("f1", f1_score(labels, alarms))
print("balancedAccuracy", balanced_accuracy_score(labels, alarms))

hits = [np.flatnonzero(alarms[s:e]) for s, e in ATTACKS]
delays = [int(h[0]) if len(h) else None for h in hits]
lost = [(e - s if d is None else d) / (e - s) for d, (s, e) in zip(delays, ATTACKS)]
print("delays", delays)
print("S", 0.5 * (1 - np.mean(lost)) + 0.5 * balanced_accuracy_score(labels, alarms))
touching = [labels[s:e].any() for s, e in runs(alarms)]
print("episodeRecall", np.mean([d is not None for d in delays]), "episodePrecision", np.mean(touching))
print("falseAlarmsPerDay", (len(touching) - sum(touching)) / ((labels == 0).sum() / 24), "at an hour a row")

# Affiliation: every moment is one of FINE points per row, every chance a share of such points.
FINE = 40
times = (np.arange(ROWS * FINE) + 0.5) / FINE
zone_of = np.argmin([np.maximum(np.maximum(s - times, times - e), 0) for s, e in ATTACKS], axis=0)
precisions, recalls = [], []
for zone, (s, e) in enumerate(ATTACKS):
    inside = times[zone_of == zone]
    alarmed = inside[alarms[inside.astype(int)] == 1]
    if len(alarmed) == 0:
        recalls.append(0.0)
        continue
    apart = lambda x: np.maximum(np.maximum(s - x, x - e), 0)
    precisions.append(np.mean([np.mean(apart(inside) >= d) for d in apart(alarmed)]))
    attacked = inside[(inside >= s) & (inside < e)]
    nearest = [0.0 if alarms[int(y)] else np.min(np.abs(alarmed - y)) for y in attacked]
    recalls.append(np.mean([np.mean(np.abs(inside - y) >= d) for y, d in zip(attacked, nearest)]))
precision, recall = np.mean(precisions), np.mean(recalls)
print("affiliation", precision, recall, 2 * precision * recall / (precision + recall), "to about", 1 / FINE / 10)

a = wave(60 * 2, 1.7).reshape(60, 2).astype(np.float32).astype(float)
b = (1.4 * wave(45 * 2, 2.3) + 0.5).reshape(45, 2).astype(np.float32).astype(float)
distances = np.sort(pdist(np.vstack([a, b]), "sqeuclidean"))
median = distances[len(distances) // 2]
kernel = lambda x, y, factor: np.exp(-cdist(x, y, "sqeuclidean") / (2 * median * factor**2)).mean()
squares = [kernel(a, a, f) + kernel(b, b, f) - 2 * kernel(a, b, f) for f in [0.25, 0.5, 1, 2, 4]]
print("mmd", np.sqrt(squares[2]), "multi-kernel", np.sqrt(sum(squares)))

# Sliced Wasserstein: in the plane the mean over directions is an integral over one angle.
angles = (np.arange(2000) + 0.5) * np.pi / 2000
print("slicedWasserstein", np.mean([wasserstein_distance(a @ d, b @ d) for d in np.stack([np.cos(angles), np.sin(angles)], 1)]))
