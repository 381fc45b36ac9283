"""The sizes of people in view: collected from tracks, with hysteresis."""

import itertools
from pathlib import Path

import numpy as np
import pytest

from edgepose.geometry import box_around
from edgepose.pose.people_sizes import ENOUGH_S, FILE, PeopleSizes
from edgepose.timing import NS_PER_S
from edgepose.types import Floats, Pose, Size, Track
from tests.support.walks import Walker

PICTURE = Size(1280, 720)
FAR_PX, NEAR_PX = 200.0, 650.0  # heights of small and of near people in that picture


def walking(height: float, people: int = 1) -> list[Track]:
    """Return tracks of people of a given height."""
    walker = Walker(((0, 100, 700), (10, 600, 700)), height=height)
    body: Floats | None = walker.body(5.0)
    assert body is not None
    joints = np.array(body, dtype=np.float32)
    pose = Pose(joints, 0.8, box_around(joints))
    return [Track(number, pose, 0) for number in range(people)]


def watch(sizes: PeopleSizes, height: float, seconds: float, began_s: float = 0) -> None:
    """Show one person for some seconds at 10 fps."""
    people = walking(height)
    for tenth in range(round(10 * seconds)):
        at_ns = round((began_s + tenth / 10) * NS_PER_S)
        sizes.add("hall", people, PICTURE, at_ns)


def test_the_size_counts_after_a_while() -> None:
    """The size is reported after `ENOUGH_S` of observation."""
    sizes = PeopleSizes(None)

    watch(sizes, FAR_PX, ENOUGH_S / 2)
    early = sizes.report()
    watch(sizes, FAR_PX, ENOUGH_S, began_s=ENOUGH_S)
    late = sizes.report()

    assert (early.kind, str(early)) == ("mixed", "")
    assert late.kind == "small"
    assert "small in 100%" in str(late)
    assert late.seconds == pytest.approx(1.5 * ENOUGH_S, rel=0.01)


@pytest.mark.parametrize(("height", "kind"), [(FAR_PX, "small"), (NEAR_PX, "near")])
def test_it_is_relative_to_the_part_of_the_picture_that_the_model_gets(
    height: float, kind: str
) -> None:
    """The size is relative to the model's region of the picture."""
    sizes, parts = PeopleSizes(None), PeopleSizes(None)

    for second in range(round(ENOUGH_S) + 1):
        sizes.add("hall", walking(height), PICTURE, second * NS_PER_S)
        region = Size(PICTURE.width // 4, PICTURE.height // 4)
        parts.add("hall", walking(height), region, second * NS_PER_S)

    assert sizes.report().kind == kind
    assert parts.report().kind == "near"


def test_a_share_near_a_border_does_not_change_it_back_and_forth() -> None:
    """A share that varies around the threshold does not change the kind."""
    sizes, kinds = PeopleSizes(None), []
    watch(sizes, FAR_PX, 3 * ENOUGH_S)
    began_s = 3 * ENOUGH_S
    for _ in range(20):
        for height, seconds in ((NEAR_PX, 200), (FAR_PX, 400)):
            watch(sizes, height, seconds, began_s)
            began_s += seconds
            kinds.append(sizes.report().kind)

    changes = sum(kind != last for kind, last in itertools.pairwise(kinds))
    assert kinds[0] == "small"
    assert changes == 0


def test_it_follows_a_camera_that_was_moved() -> None:
    """Old observations decay: after hours of near people the kind is near."""
    sizes, kinds = PeopleSizes(None), []
    for people, began_s, seconds in (
        (walking(FAR_PX), 0, 10_000),
        (walking(NEAR_PX), 10_000, 50_000),
    ):
        for second in range(began_s, began_s + seconds):
            sizes.add("hall", people, PICTURE, second * NS_PER_S)
        kinds.append(sizes.report().kind)

    assert kinds == ["small", "near"]


def test_it_survives_a_restart(tmp_path: Path) -> None:
    """The report is equal after storing and loading."""
    sizes = PeopleSizes(tmp_path)
    watch(sizes, FAR_PX, 2 * ENOUGH_S)
    before = sizes.report()
    sizes.store()

    assert (tmp_path / FILE).exists()
    assert PeopleSizes(tmp_path).report() == before
