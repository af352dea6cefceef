"""A trainer by epochs, kept deterministic by its checkpoint: numpy's SGD, with weights, random state and epoch."""

from __future__ import annotations

import os
import pickle
import time
from pathlib import Path

import numpy as np
from sklearn.base import BaseEstimator


class Linear(BaseEstimator):
    def __init__(self, weights):
        self.weights = weights

    def predict_proba(self, x):
        late = 1 / (1 + np.exp(-x[["size"]].assign(one=1.0).to_numpy() @ self.weights))
        return np.column_stack([1 - late, late])

    def predict(self, x):
        return self.predict_proba(x)[:, 1] > 0.5


def note(params, *words):
    with Path(params["diary"]).open("a") as diary:
        print(os.getpid(), *words, file=diary)


def epoch_of(x, y, weights, draw, params, number):
    """One pass in random order; half way it says so, since half an epoch must never be gone on from."""
    note(params, "begins", number)
    order = np.array_split(draw.permutation(len(y)), 20)
    for part, rows in enumerate(order):
        time.sleep(params["pause_s"] / len(order))
        weights = weights - 0.1 * x[rows].T @ (1 / (1 + np.exp(-x[rows] @ weights)) - y[rows]) / len(rows)
        if part == len(order) // 2:
            note(params, "halfway", number)
    return weights


def prepared(data):
    return data.X[["size"]].assign(one=1.0).to_numpy(), data.y.to_numpy().astype(float)


def train(data, params, context):
    x, y = prepared(data)
    kept = context.checkpoint.restore()
    draw = np.random.default_rng(context.seed)
    weights, done = np.random.normal(size=2), 0
    if kept is not None:
        weights, done, draw = pickle.loads(kept)
    for number in range(done + 1, params["epochs"] + 1):
        weights = epoch_of(x, y, weights, draw, params, number)
        context.progress(number, params["epochs"], loss=float(weights @ weights))
        if context.stopping or number % params["every"] == 0:
            context.checkpoint.save(pickle.dumps((weights, number, draw)), step=number)
            note(params, "kept", number)
    return Linear(weights)


def without_a_loop(data, params, context):
    """A function that cannot look: what it keeps at its end is the last state that was whole."""
    x, y = prepared(data)
    kept = context.checkpoint.restore()
    draw = np.random.default_rng(context.seed)
    state = pickle.loads(kept) if kept else (np.zeros(2), 0, draw)
    context.checkpoint.on_stop(lambda: pickle.dumps(state))
    while state[1] < params["epochs"]:
        weights, done, draw = pickle.loads(pickle.dumps(state))
        state = (epoch_of(x, y, weights, draw, params, done + 1), done + 1, draw)
    return Linear(state[0])
