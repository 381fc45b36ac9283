"""The bundled clip."""

from collections.abc import Callable
from importlib.resources import files
from itertools import islice

import numpy as np
import pytest

from edgepose.camera.sources import Source, open_source
from edgepose.config.gesture_rules import BUILT_IN
from edgepose.people.events.gestures import GestureDetector
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.pose.estimator import PoseEstimator
from edgepose.timing import NS_PER_S
from edgepose.types import Event, Size
from tests.support.contracts.source import SourceContract


class TestDemo(SourceContract):
    live = False

    @pytest.fixture
    def opened(self) -> Callable[[], Source]:
        return lambda: open_source("demo://", realtime=False)


@pytest.mark.parametrize(("uri", "once"), [("demo://?loop=0", False), ("demo://", True)])
def test_it_plays_once_when_asked(uri: str, once: bool) -> None:
    """With `once` or in the URI it ends after its length."""
    source = open_source(uri, realtime=False, once=once)

    frames = list(source.frames())

    assert len(frames) == source.length
    assert 5 * NS_PER_S < frames[-1].captured_ns - frames[0].captured_ns < 10 * NS_PER_S


def test_it_begins_again_and_time_goes_on() -> None:
    """The second pass has the same pictures with later times, one frame apart."""
    once = list(open_source("demo://", realtime=False, once=True).frames())
    source = open_source("demo://", realtime=False)

    twice = list(islice(source.frames(), 2 * len(once)))
    source.close()

    assert source.length is None
    again = twice[len(once) :]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(once, again, strict=True))
    apart = np.diff([frame.captured_ns for frame in twice])
    assert apart == pytest.approx(np.full(len(apart), apart[0]), abs=NS_PER_S // 500)


def test_it_is_small_and_wide() -> None:
    """The clip is below 3 MB and not square, which would hide swapped axes."""
    frame = next(iter(open_source("demo://", realtime=False).frames()))

    assert frame.size == Size(640, 360)
    assert len((files("edgepose") / "data" / "demo.mp4").read_bytes()) < 3_000_000


@pytest.mark.slow
@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("model", ["movenet-multipose", "posenet"])
def test_it_shows_gestures(model: str, every: int) -> None:
    """Each pass contains a wave and both hands up, as detected, and nothing else."""
    source = open_source("demo://", realtime=False, once=True)
    estimator, tracker, smoother = PoseEstimator(model), Tracker(), Smoother()
    detector = GestureDetector(tuple(BUILT_IN.values()))

    events: list[Event] = []
    for frame in islice(source.frames(), 0, None, every):
        tracks = tracker.update(estimator.estimate(frame.image), frame.captured_ns)
        tracks = smoother.smooth(tracks, frame.captured_ns)
        events += detector.update(tracks, frame.captured_ns)

    waved, up = events
    assert waved.data == {"gesture": "wave", "side": "right"}
    assert up.data == {"gesture": "both_hands_up"}
    assert waved.person == up.person
