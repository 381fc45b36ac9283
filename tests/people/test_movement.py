"""Movement: more than jitter, however slow; model errors are not movement."""

from collections.abc import Iterable

import numpy as np
import pytest

from edgepose.people.movement import MovementReader, nan_median
from edgepose.people.smoothing import Smoother
from edgepose.timing import NS_PER_S
from edgepose.types import Track
from tests.support.body import (
    ON_BACK,
    SITTING,
    STANDING,
    Act,
    Actor,
    Moment,
    Noise,
    Scene,
    crawl,
    hold,
    move,
    squats,
    stand,
    walk,
)


def moving_s(moments: Iterable[Moment], *, smooth: bool = True) -> list[tuple[float, bool]]:
    """Return times and `moving` of one person."""
    reader, smoother = MovementReader(), Smoother()
    said = []
    for moment in moments:
        tracks: list[Track] = moment.tracks()
        tracks = smoother.smooth(tracks, moment.at_ns) if smooth else tracks
        for track in reader.update(tracks, moment.at_ns):
            said.append((moment.seconds, bool(track.moving)))
    return said


def part(said: list[tuple[float, bool]], start_s: float, end_s: float) -> float:
    """Return the share of frames in which the person moves."""
    return float(np.mean([moves for at_s, moves in said if start_s <= at_s < end_s]))


def scene(*acts: Act, heading: float = 180.0) -> Scene:
    return Scene((Actor.doing(*acts, heading_deg=heading),))


@pytest.mark.parametrize("stance", [STANDING, SITTING, ON_BACK])
@pytest.mark.parametrize("fps", [3, 10, 20])
def test_a_body_at_rest_does_not_move_whatever_the_model_says(stance: object, fps: float) -> None:
    """With jitter, swaps and gaps fewer than 2 % of the frames are moving.

    In real videos joints of lying people deviate by 0.006 body sizes within a second (the
    median of 419 frames, second widest joint); here by at least as much.
    """
    at_rest = scene(hold("rest", stance, 60), heading=90)  # type: ignore[arg-type]
    noise = Noise(spread=0.12)

    parts = [part(moving_s(at_rest.observe(fps, seed, noise)), 3, 60) for seed in range(3)]

    assert np.mean(parts) < 0.02


@pytest.mark.parametrize("act", [walk(20, 0.8), squats(8), crawl(20)])
@pytest.mark.parametrize("fps", [5, 10])
def test_who_walks_squats_or_crawls_moves(act: Act, fps: float) -> None:
    """More than 90 % of the frames are moving, from some seconds after the start."""
    said = moving_s(scene(stand(5), act).observe(fps, 1))

    assert part(said, 8, 20) > 0.9


def test_a_slow_movement_adds_up() -> None:
    """Slowly leaning over during half a minute is movement."""
    lean = Scene((Actor.doing(hold("sit", SITTING, 10), move("down", ON_BACK, 30)),))

    said = moving_s(lean.observe(10, 2, Noise(spread=0.3)))

    assert sum(moves for at_s, moves in said if 10 < at_s < 40) > 50


def test_swapped_sides_are_no_movement() -> None:
    """Swapped left and right joints are no movement."""
    at_rest = scene(hold("rest", STANDING, 30))

    said = moving_s(at_rest.observe(10, 3, Noise(spread=0.2, swap=0.4, lost_s=2)), smooth=False)

    assert part(said, 3, 30) == 0


def test_a_still_picture_has_no_answer() -> None:
    """`moving` is None for a still picture."""
    (track,) = next(iter(scene(stand(1)).truth())).tracks()

    assert track.moving is None
    assert MovementReader().update([track], NS_PER_S)[0].moving is False


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.filterwarnings("ignore:All-NaN")
def test_the_median_is_that_of_what_is_seen(seed: int) -> None:
    """The result equals numpy's nanmedian."""
    rng = np.random.default_rng(seed)
    looks = rng.normal(size=(rng.integers(1, 24), 12, 2)).astype(np.float32)
    looks[rng.random(looks.shape[:2]) < rng.random()] = np.nan

    assert nan_median(looks) == pytest.approx(np.nanmedian(looks, axis=0), nan_ok=True)
    assert nan_median(looks[:, :, 0]) == pytest.approx(nan_median(looks)[:, 0], nan_ok=True)
