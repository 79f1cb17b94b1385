"""Prints the numbers in golden.test.ts: the same network, loss and Adam written again in numpy, double precision.

Run: python3 core/learning/golden.py
"""

import numpy as np

SIZES = [3, 4, 2, 1]
ROWS, STEPS, RATE, MU = 6, 25, 0.02, 0.05
BETA1, BETA2, EPSILON = 0.9, 0.999, 1e-7


def wave(count, pace):
    return np.sin(np.arange(1, count + 1) * pace)


def unflatten(flat):
    at, stack = 0, []
    for fan_in, fan_out in zip(SIZES, SIZES[1:]):
        weights = flat[at : at + fan_in * fan_out].reshape(fan_in, fan_out)
        at += fan_in * fan_out
        stack.append((weights, flat[at : at + fan_out]))
        at += fan_out
    return stack


x = 1.5 * wave(ROWS * SIZES[0], 1.7).reshape(ROWS, SIZES[0])
y = np.array([0, 1, 1, 0, 0.25, 1.0])
sample_weight = np.array([1, 2, 1, 0.5, 1, 0.5])
sample_weight = sample_weight / sample_weight.mean()
theta = 0.8 * wave(sum((i + 1) * o for i, o in zip(SIZES, SIZES[1:])), 2.3)
anchor = 0.5 * theta
m, v = np.zeros_like(theta), np.zeros_like(theta)

for step in range(1, STEPS + 1):
    stack = unflatten(theta)
    activations = [x]
    for depth, (weights, bias) in enumerate(stack):
        sums = activations[-1] @ weights + bias
        activations.append(sums if depth == len(stack) - 1 else np.maximum(sums, 0))
    z = activations[-1][:, 0]
    loss = np.mean(sample_weight * (np.logaddexp(0, z) - y * z))
    delta = (sample_weight * (1 / (1 + np.exp(-z)) - y) / ROWS)[:, None]
    gradients = []
    for depth in reversed(range(len(stack))):
        gradients = [(activations[depth].T @ delta).ravel(), delta.sum(0), *gradients]
        if depth > 0:
            delta = (delta @ stack[depth][0].T) * (activations[depth] > 0)
    g = np.concatenate(gradients) + MU * (theta - anchor)
    m = BETA1 * m + (1 - BETA1) * g
    v = BETA2 * v + (1 - BETA2) * g * g
    theta = theta - RATE * (m / (1 - BETA1**step)) / (np.sqrt(v / (1 - BETA2**step)) + EPSILON)

print("loss", repr(float(loss)))
print("parameters", [round(float(value), 9) for value in theta])
