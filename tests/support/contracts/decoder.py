"""Tests that every decoder must pass; a decoder's test class inherits them."""

from dataclasses import replace

import numpy as np
import pytest

from edgepose.models.info import ModelInfo, Outputs, TensorInfo
from edgepose.pose import decoders
from edgepose.pose.decoders import Limits
from edgepose.types import Floats

FOREIGN = ModelInfo(
    "detector",
    (TensorInfo("image", (1, 300, 300, 3), "uint8"),),
    (TensorInfo("boxes", (1, 10, 4), "float32"), TensorInfo("scores", (1, 10), "float32")),
)


class DecoderContract:
    """Inherit from it, and provide `crowded`, `empty` and `truth`."""

    pixel_tolerance = 0.05

    def crowded(self) -> Outputs:
        """Return the network's outputs for a picture with people."""
        raise NotImplementedError

    def empty(self) -> Outputs:
        """Return the network's outputs for a picture without people."""
        raise NotImplementedError

    def truth(self) -> Floats:
        """Return (P, 17, 2): the joints of the people in `crowded`, in model pixels."""
        raise NotImplementedError

    def test_it_is_found_by_its_tensors_whatever_its_name(self) -> None:
        """The registry recognises the family by its tensors; the file's name is ignored."""
        model = replace(self.crowded().model, name="no-such-name")

        decoder = decoders.recognise(model)

        assert decoder.decode(self.crowded(), Limits())

    def test_it_leaves_foreign_models_alone(self) -> None:
        """The outputs of another model family are refused."""
        decoder = decoders.recognise(self.crowded().model)

        assert type(decoder).recognise(FOREIGN) is None

    def test_it_finds_everybody_where_they_are(self) -> None:
        """Each person is found once, at the true position, in model pixels."""
        people = decoders.recognise(self.crowded().model).decode(self.crowded(), Limits(20))

        assert match(np.array([p.keypoints[:, :2] for p in people]), self.truth()) < (
            self.pixel_tolerance
        )

    def test_it_finds_nobody_in_an_empty_picture(self) -> None:
        """The result is an empty list."""
        assert decoders.recognise(self.empty().model).decode(self.empty(), Limits()) == []

    def test_it_says_people_best_first_with_scores_in_range(self) -> None:
        """Scores lie in [0, 1] in falling order; arrays are float32 (17, 3)."""
        people = decoders.recognise(self.crowded().model).decode(self.crowded(), Limits(20, 0.0))

        scores = [person.score for person in people]
        assert scores == sorted(scores, reverse=True)
        for person in people:
            assert person.keypoints.shape == (17, 3)
            assert person.keypoints.dtype == np.float32
            assert 0 <= person.keypoints[:, 2].min() <= person.keypoints[:, 2].max() <= 1
            assert 0 <= person.score <= 1

    @pytest.mark.parametrize("least", [0.0, 0.5, 1.01])
    def test_it_keeps_to_the_limits(self, least: float) -> None:
        """No more people than requested are returned, and none below the minimum score."""
        decoder = decoders.recognise(self.crowded().model)

        people = decoder.decode(self.crowded(), Limits(max_people=1, min_pose_score=least))

        assert len(people) == (1 if least < 1 else 0)
        assert all(person.score >= least for person in people)
        assert decoder.decode(self.crowded(), Limits(max_people=0)) == []

    def test_it_leaves_the_outputs_as_they_are(self) -> None:
        """The output arrays are not modified: they may be views into the runtime's memory."""
        outputs = self.crowded()
        before = [array.copy() for array in outputs.arrays]
        for array in outputs.arrays:
            array.flags.writeable = False

        decoders.recognise(outputs.model).decode(outputs, Limits())

        for array, was in zip(outputs.arrays, before, strict=True):
            np.testing.assert_array_equal(array, was)


def match(found: Floats, truth: Floats) -> float:
    """Return the largest distance between people and their truth, in any order."""
    assert len(found) == len(truth)
    distance = np.hypot(*(found[:, None] - truth[None]).transpose(3, 0, 1, 2)).max(axis=2)
    assert sorted(distance.argmin(axis=1)) == list(range(len(truth)))
    return float(distance.min(axis=1).max())
