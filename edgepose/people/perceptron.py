"""Small multi-layer perceptrons in numpy: weights from a file, one forward pass."""

from importlib import resources
from typing import Final, NamedTuple, Self

import numpy as np

from edgepose.types import Floats

FOLDER: Final = "edgepose.data"


class Perceptron(NamedTuple):
    """Dense layers with rectified linear units between them."""

    weights: tuple[Floats, ...]
    """Each (inputs, outputs)."""

    biases: tuple[Floats, ...]
    """Each (outputs,)."""

    @classmethod
    def load(cls, name: str) -> Self:
        """Read the weights that the package ships under this file name."""
        with resources.files(FOLDER).joinpath(name).open("rb") as file, np.load(file) as arrays:
            layers = len(arrays.files) // 2
            weights = tuple(arrays[f"weights{n}"].astype(np.float32) for n in range(layers))
            biases = tuple(arrays[f"biases{n}"].astype(np.float32) for n in range(layers))
        return cls(weights, biases)

    def logits(self, inputs: Floats) -> Floats:
        """Map inputs (..., n) to the outputs of the last layer (..., m)."""
        values = inputs
        last = len(self.weights) - 1
        for layer, (weights, biases) in enumerate(zip(self.weights, self.biases, strict=True)):
            values = values @ weights + biases
            if layer < last:
                values = np.maximum(values, 0)
        return values
