"""Model families: from the network's outputs to people in model pixels.

To add one: write `decoders/<family>.py`, add one row here, inherit the contract
test of `tests/contracts/decoder.py`.
"""

from dataclasses import dataclass
from typing import Final, Protocol, Self

from edgepose import registry
from edgepose.errors import ModelError
from edgepose.models import ModelInfo, Outputs
from edgepose.structures import ModelPose

DECODERS: Final = {
    "posenet": "edgepose.decoders.posenet:PoseNetDecoder",
    "movenet": "edgepose.decoders.movenet:MoveNetDecoder",
}
"""Family name to class; asked in this order."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the caller wants to hear of; may differ from frame to frame."""

    max_people: int = 6
    min_pose_score: float = 0.25
    single: bool = False
    """Take the strongest cell of each joint as one person: the article's way."""


@dataclass(frozen=True, slots=True)
class Pixels:
    """How a model wants its picture: ``real = pixel * scale + shift[channel]``, RGB."""

    scale: float
    shift: tuple[float, float, float]


class Decoder(Protocol):
    """What a model family must provide."""

    family: str
    """Name for people: ``posenet``, ``movenet single``, ``movenet multi``."""

    people: int | None
    """The most people it can find at once; None for no limit of its own."""

    pixels: Pixels

    @classmethod
    def recognise(cls, model: ModelInfo) -> Self | None:
        """Return a decoder if the tensors are this family's, without guessing."""

    def decode(self, outputs: Outputs, limits: Limits) -> list[ModelPose]:
        """Return people in model pixels, best first; an empty list is normal."""


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
