"""`PoseEstimator`: the one way from a picture to poses.

The daemon, every command and `import edgepose` use it. `estimate` is `prepare`,
`infer` and `decode` in a row; the daemon runs the three on different threads.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgepose import catalogue, decoders
from edgepose.decoders import Limits
from edgepose.engine import Engine
from edgepose.geometry import Letterbox, box_around
from edgepose.models import Outputs
from edgepose.preprocess import Preprocessor
from edgepose.structures import Image, ModelPose, Pose


@dataclass(frozen=True, slots=True, eq=False)
class Glance:
    """A picture made ready for the network."""

    tensor: NDArray[Any]
    """(1, height, width, 3) in the type of the model's input."""

    letterbox: Letterbox
    """The way back to the picture."""


class PoseEstimator:
    """Finds people in pictures.

    Parameters
    ----------
    model : str or Path
        A catalogue name, ``"auto"`` or the path of a .tflite file; behind either
        ``@HEIGHTxWIDTH`` sets the input of models that take any size.
    threads : int
        Threads of the network; 0 for all cores but one.
    limits : Limits
        How many people, and how sure, unless a call says otherwise.

    Raises
    ------
    ModelError
        When the model is unknown, broken or of no known family; in words.
    """

    def __init__(
        self, model: str | Path = "auto", *, threads: int = 0, limits: Limits | None = None
    ) -> None:
        choice = catalogue.choose(str(model))
        content, info, self.decoder = decoders.load(catalogue.read_file(choice.path), choice.name)
        self.limits = limits or Limits()
        self.engine = Engine(content, info, threads=threads, size=choice.size)
        self.model = self.engine.info
        self._preprocessor = Preprocessor(
            self.model.inputs[0],
            scale=self.decoder.pixels.scale,
            shift=self.decoder.pixels.shift,
        )

    def estimate(self, image: Image, *, limits: Limits | None = None) -> list[Pose]:
        """Find the people in a picture.

        Parameters
        ----------
        image : (height, width, 3)
            RGB, uint8. Pictures read by OpenCV are BGR: turn them first.
        limits : Limits, optional
            Other limits for this picture.

        Returns
        -------
        list of Pose
            In pixels of the picture, best first; empty when nobody is there.
        """
        glance = self.prepare(image)
        return self.decode(glance, self.infer(glance), limits=limits)

    def prepare(self, image: Image) -> Glance:
        """Write the picture into an input of the network; any thread."""
        _check(image)
        height, width = image.shape[:2]
        letterbox = Letterbox.fit((0, 0, width, height), self.model.input_size)
        return Glance(self._preprocessor.prepare(image, letterbox), letterbox)

    def infer(self, glance: Glance) -> Outputs:
        """Run the network; the only part that holds the engine."""
        return self.engine.infer(glance.tensor)

    def decode(
        self, glance: Glance, outputs: Outputs, *, limits: Limits | None = None
    ) -> list[Pose]:
        """Turn what the network said into poses in pixels of the picture; any thread."""
        found = self.decoder.decode(outputs, limits or self.limits)
        return [to_frame(pose, glance.letterbox) for pose in found]

    def warm_up(self) -> None:
        """Run the network once on black, so that the first picture is not slow."""
        self.engine.warm_up()


def to_frame(pose: ModelPose, letterbox: Letterbox) -> Pose:
    """Map a person from model pixels to frame pixels."""
    keypoints = np.empty_like(pose.keypoints)
    keypoints[:, :2] = letterbox.to_frame(pose.keypoints[:, :2])
    keypoints[:, 2] = pose.keypoints[:, 2]
    box = box_around(keypoints) if pose.box is None else letterbox.box_to_frame(pose.box)
    return Pose(keypoints, pose.score, box)


def _check(image: Image) -> None:
    found = f"{getattr(image, 'dtype', type(image).__name__)} {getattr(image, 'shape', '')}".strip()
    if getattr(image, "ndim", 0) != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        msg = f"picture is {found}; expected uint8 (height, width, 3), RGB"
        raise ValueError(msg)
    if 0 in image.shape:
        msg = f"picture is empty: {image.shape}"
        raise ValueError(msg)
