"""Prints the numbers in combine.test.ts: the same rules written again in numpy, double precision, most of them another way.

Run: python3 twin-server/aggregator/combine/golden.py
"""

import numpy as np

N, D = 7, 5
x = np.sin(np.arange(1, N * D + 1) * 1.7).reshape(N, D)
x[5] *= -4
x[6] = 9 - x[6]


def show(name, values):
    print(name, [round(float(v), 7) for v in np.atleast_1d(values)])


# Weighted by repetition: weights of whole twentieths are that many copies.
copies = np.array([3, 4, 2, 3, 4, 2, 2])
repeated = np.repeat(x, copies, axis=0)
show("mean", repeated.mean(0))
show("median", np.median(x, axis=0))
show("weighted median", np.median(repeated, axis=0))
show("trimmed 2/7", np.sort(x, axis=0)[2:5].mean(0))
show("weighted trimmed 0.3", np.sort(repeated, axis=0)[6:14].mean(0))

f = 2
distance = ((x[:, None] - x[None]) ** 2).sum(-1)
score = np.sort(distance, axis=1)[:, 1 : N - f - 1].sum(1)
order = np.argsort(score)
print("krum order", order.tolist())
show("multi-krum", np.average(x[order[:3]], axis=0, weights=copies[order[:3]]))

direction = np.median(x / np.linalg.norm(x, axis=1, keepdims=True), axis=0)
show("cosines", x @ direction / np.linalg.norm(x, axis=1) / np.linalg.norm(direction))
norms = np.linalg.norm(x, axis=1)
show("clipped", x[6] * 1.5 * np.median(norms) / norms[6])

base = 0.1 * np.sin(np.arange(1, D + 1) * 0.9)
ETA, B1, B2, TAU = 0.03, 0.9, 0.99, 0.001
for name in ["fedavgm", "fedadam", "fedyogi"]:
    at, m, v = base.copy(), np.zeros(D), np.full(D, TAU**2)
    for t in range(3):
        delta = x[t] - at
        if name == "fedavgm":
            m = B1 * m + delta
            at = at + 0.5 * m
            continue
        m = B1 * m + (1 - B1) * delta
        v = B2 * v + (1 - B2) * delta**2 if name == "fedadam" else v - (1 - B2) * delta**2 * np.sign(v - delta**2)
        at = at + ETA * m / (np.sqrt(v) + TAU)
    show(name, at)
