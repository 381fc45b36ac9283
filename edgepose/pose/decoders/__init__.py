"""Model families: from the network's outputs to people in model pixels.

To add one: write `decoders/<family>.py`, add one row here, inherit the contract
test of `tests/support/contracts/decoder.py`.
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
"""Family name to class; asked in this order."""

CUSTOM_OPS: Final = {
    "PosenetDecoderOp": "edgepose.pose.decoders.posenet_op:load",
}
"""Custom operators that do the decoder's work: what takes them out, ``(content, info)``
to `Loaded`."""


MIN_POSE_SCORE: Final = 0.25
"""Least score of a person where neither the caller nor the catalogue says one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Which poses to return; may differ from frame to frame."""

    max_people: int = 6
    min_pose_score: float | None = None
    """None: the model's own, since the scales of models differ."""

    single: bool = False
    """One person at most; PoseNet takes the strongest cell of each joint: the article's way."""

    share: float = 1.0
    """Part of the model's own least score to go by where `min_pose_score` is None."""

    @property
    def least(self) -> float:
        """The least score of a person."""
        return self.within(MIN_POSE_SCORE)

    def within(self, own: float) -> float:
        """Return the least score of a person for a model whose own is `own`."""
        return self.share * own if self.min_pose_score is None else self.min_pose_score


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a model wants its picture: ``real = pixel * scale + shift[channel]``, RGB."""

    scale: float
    shift: tuple[float, float, float]


class Decoder(Protocol):
    """What a model family must provide."""

    @property
    def family(self) -> str:
        """Name for people: ``posenet``, ``movenet single``, ``movenet multi``."""

    @property
    def people(self) -> int | None:
        """The most people it can find at once; None for no limit of its own."""

    @property
    def pixels(self) -> Pixels:
        """How it wants its picture."""

    @property
    def min_pose_score(self) -> float:
        """Least score of a person, for models that are not in the catalogue."""

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder if the tensors are this family's, without guessing."""

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first; an empty list is normal."""


class Loaded(NamedTuple):
    """A model file, made ready for any runtime."""

    content: bytes
    """What the runtime is to load; not always what was in the file."""

    model: ModelInfo
    """What `content` takes and gives."""

    decoder: Decoder


def load(content: bytes, name: str) -> Loaded:
    """Go from the bytes of a .tflite file to what it is.

    Raises
    ------
    ModelError
        When the file is broken or of no known family.
    """
    info = models.read(content, name)
    for op in info.custom_ops:
        if op in CUSTOM_OPS:
            loaded: Loaded = registry.load(CUSTOM_OPS[op])(content, info)
            return loaded
    return Loaded(content, info, recognise(info))


def recognise(model: ModelInfo) -> Decoder:
    """Find the family of a model from its tensors.

    Raises
    ------
    ModelError
        When it is of no known family; says what the outputs are.
    """
    for row in DECODERS.values():
        decoder: Decoder | None = registry.load(row).recognise(model)
        if decoder is not None:
            return decoder
    found = ", ".join(f"{list(t.shape)} {t.dtype}" for t in model.outputs) or "none"
    msg = f"model {model.name}: outputs are {found}; expected those of {' or '.join(DECODERS)}"
    raise ModelError(msg)
