"""Model families: decode a network's outputs to people in model pixels.

To add a family, write `decoders/<family>.py`, add one row here and inherit the
contract test of `tests/support/contracts/decoder.py`.
"""

from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol, Self

from edgepose import registry
from edgepose.errors import ModelError
from edgepose.models import info as models
from edgepose.models.info import ModelInfo, Outputs
from edgepose.types import ModelPose

DECODERS: Final = {
    "posenet": "edgepose.pose.decoders.posenet:PoseNetDecoder",
    "movenet": "edgepose.pose.decoders.movenet:MoveNetDecoder",
    "yolo pose": "edgepose.pose.decoders.yolo:YoloPoseDecoder",
    "top-down": "edgepose.pose.decoders.top_down:TopDownDecoder",
}
"""Family name to class; tried in this order."""

NEAR_MISS: Final = "edgepose.pose.decoders.yolo:near_miss"
"""Function that explains why a model of no known family is refused."""

CUSTOM_OPS: Final = {
    "PosenetDecoderOp": "edgepose.pose.decoders.posenet_op:load",
}
"""Decoding operator to the function ``(content, info) -> Loaded`` that removes it."""


MIN_POSE_SCORE: Final = 0.25
"""Minimum score of a person where neither the caller nor the catalogue sets one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Which poses to return; may differ from frame to frame."""

    max_people: int = 6
    min_pose_score: float | None = None
    """Minimum score of a person; None for the model's own, since score scales differ."""

    single: bool = False
    """At most one person; PoseNet then takes the highest cell of each joint."""

    share: float = 1.0
    """Factor of the model's own minimum score, where `min_pose_score` is None."""

    @property
    def least(self) -> float:
        """The minimum score of a person."""
        return self.within(MIN_POSE_SCORE)

    def within(self, own: float) -> float:
        """Return the minimum score of a person for a model whose own minimum is `own`."""
        return self.share * own if self.min_pose_score is None else self.min_pose_score


@dataclass(frozen=True, slots=True)
class Pixels:
    """Input normalisation of a model: ``real = pixel * scale + shift[channel]``, RGB."""

    scale: float
    shift: tuple[float, float, float]


class Decoder(Protocol):
    """Interface of a model family."""

    @property
    def family(self) -> str:
        """Display name: ``posenet``, ``movenet single``, ``movenet multi``."""

    @property
    def people(self) -> int | None:
        """Maximum number of people per inference; None for no limit."""

    @property
    def pixels(self) -> Pixels:
        """Input normalisation."""

    @property
    def min_pose_score(self) -> float:
        """Minimum score of a person, for models that are not in the catalogue."""

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder if the tensors are certainly of this family, else None."""

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first; may be empty."""


class Loaded(NamedTuple):
    """A model file prepared for any runtime, with its decoder."""

    content: bytes
    """The model to load; differs from the file where an operator was removed."""

    model: ModelInfo
    """Inputs and outputs of `content`."""

    decoder: Decoder


def load(content: bytes, name: str) -> Loaded:
    """Return the model and its decoder from the bytes of a .tflite file.

    Raises
    ------
    ModelError
        If the file is broken or of no known family.
    """
    info = models.read(content, name)
    for op in info.custom_ops:
        if op in CUSTOM_OPS:
            loaded: Loaded = registry.load(CUSTOM_OPS[op])(content, info)
            return loaded
    return Loaded(content, info, recognise(info))


def recognise(model: ModelInfo) -> Decoder:
    """Return the decoder of a model's family, found by its tensors.

    Raises
    ------
    ModelError
        If the model is of no known family. The message lists its outputs.
    """
    for row in DECODERS.values():
        decoder: Decoder | None = registry.load(row).recognise(model)
        if decoder is not None:
            return decoder
    found = ", ".join(f"{list(t.shape)} {t.dtype}" for t in model.outputs) or "none"
    hint: str = registry.load(NEAR_MISS)(model)
    expected = hint or f"expected those of {' or '.join(DECODERS)}"
    raise ModelError(f"model {model.name}: outputs are {found}; {expected}")
