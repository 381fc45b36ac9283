"""Inference of small multi-layer perceptrons in numpy."""

from importlib import resources
from typing import Final, NamedTuple, Self

import numpy as np

from edgepose.types import Floats

FOLDER: Final = "edgepose.data"


class Perceptron(NamedTuple):
    """Dense layers with ReLU between them."""

    weights: tuple[Floats, ...]
    """One (inputs, outputs) for each layer."""

    biases: tuple[Floats, ...]
    """One (outputs,) for each layer."""

    @classmethod
    def load(cls, name: str) -> Self:
        """Load weights from a file in the package `FOLDER`."""
        with resources.files(FOLDER).joinpath(name).open("rb") as file, np.load(file) as arrays:
            layers = len(arrays.files) // 2
            weights = tuple(arrays[f"weights{n}"].astype(np.float32) for n in range(layers))
            biases = tuple(arrays[f"biases{n}"].astype(np.float32) for n in range(layers))
        return cls(weights, biases)

    def logits(self, inputs: Floats) -> Floats:
        """Return the outputs (..., m) of the last layer for inputs (..., n)."""
        values = inputs
        last = len(self.weights) - 1
        for layer, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weights + biases
            if layer < last:
                values = np.maximum(values, 0)
        return values

    def mean_logits(self, inputs: Floats, mirrored: Floats) -> Floats:
        """Return the mean outputs (n, m) for two sets of inputs (n, k)."""
        logits = self.logits(np.concatenate([inputs, mirrored]))
        return np.asarray((logits[: len(inputs)] + logits[len(inputs) :]) / 2, np.float32)


def softmax(logits: Floats) -> Floats:
    """Return the probabilities (n, m) of exclusive classes for their logits (n, m)."""
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float32)
