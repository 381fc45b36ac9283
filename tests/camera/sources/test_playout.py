"""Capture times of a stream's pictures, independent of how they arrive."""

from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest

from edgepose.camera.sources.playout import BURST_NS, Moment, Playout
from edgepose.timing import NS_PER_MS, NS_PER_S

PERIOD_NS = NS_PER_S // 15


def play(
    arrival: Callable[[int], int], count: int, stamp: Callable[[int], int] = lambda at_ns: at_ns
) -> list[tuple[int, int, Moment]]:
    """Read a stream as a source does: the next picture after the previous one was delivered.

    Parameters
    ----------
    arrival : callable
        Maps the capture time to the arrival time of a picture.
    count : int
        Number of pictures, one each `PERIOD_NS`.
    stamp : callable
        Maps the capture time to the camera's timestamp.

    Returns
    -------
    list
        Capture time, arrival time and the computed moment of each picture.
    """
    playout, now_ns, played = Playout(), 0, []
    for taken_ns in range(0, count * PERIOD_NS, PERIOD_NS):
        arrived_ns = arrival(taken_ns)
        now_ns = max(now_ns, arrived_ns)
        moment = playout.add(stamp(taken_ns), now_ns)
        now_ns = max(now_ns, moment.due_ns)
        played.append((taken_ns, arrived_ns, moment))
    return played


def in_bursts(burst_ns: int) -> Callable[[int], int]:
    """Return an arrival function that delays every picture to the end of its burst."""
    return lambda at_ns: (at_ns // burst_ns + 1) * burst_ns


BURSTS_S = [0.5, 1, 2, 3, 6, 10]


@pytest.mark.parametrize("burst_s", BURSTS_S)
def test_pictures_of_a_burst_lie_apart_as_they_were_taken(burst_s: float) -> None:
    """From the second burst on the computed capture times have the true intervals."""
    burst_ns = round(burst_s * NS_PER_S)

    played = [p for p in play(in_bursts(burst_ns), 1200) if p[1] > burst_ns]

    steps = np.diff([moment.captured_ns for _, _, moment in played])
    assert np.abs(steps - PERIOD_NS).max() <= 2


@pytest.mark.parametrize("burst_s", BURSTS_S)
def test_they_are_handed_on_one_after_the_other(burst_s: float) -> None:
    """Pictures of a burst are delivered evenly, so that none is replaced by the next."""
    burst_ns = round(burst_s * NS_PER_S)

    played = [p for p in play(in_bursts(burst_ns), 1200) if p[1] > burst_ns]

    steps = np.diff([moment.due_ns for _, _, moment in played])
    assert steps.min() > 0.7 * PERIOD_NS
    assert np.median(steps) == pytest.approx(PERIOD_NS, rel=0.3)


@pytest.mark.parametrize("burst_s", BURSTS_S)
@pytest.mark.parametrize("jitter_ms", [0, 40, 150])
def test_no_picture_was_taken_after_it_arrived(burst_s: float, jitter_ms: int) -> None:
    """Except for jitter, capture times precede arrival; the delay is at most two bursts."""
    random = np.random.default_rng(7)
    burst_ns = round(burst_s * NS_PER_S)
    delays = random.integers(0, 1 + jitter_ms * NS_PER_MS, 2000)

    def arrival(at_ns: int) -> int:
        return in_bursts(burst_ns)(at_ns) + int(delays[at_ns // burst_ns])

    for taken_ns, arrived_ns, moment in play(arrival, 1200):
        if arrived_ns > 2 * burst_ns:
            assert moment.captured_ns <= arrived_ns + PERIOD_NS + jitter_ms * NS_PER_MS
        assert moment.captured_ns <= moment.due_ns
        assert moment.due_ns - taken_ns < 2 * burst_ns + NS_PER_S


@pytest.mark.parametrize("jitter_ms", [0, 5, 60])
def test_an_even_stream_is_not_held_up(jitter_ms: int) -> None:
    """Pictures of an even stream are delivered on arrival, with that time as capture time."""
    random = np.random.default_rng(1)

    def arrival(at_ns: int) -> int:
        return at_ns + 80 * NS_PER_MS + int(random.integers(0, 1 + jitter_ms * NS_PER_MS))

    for _, arrived_ns, moment in play(arrival, 600):
        assert moment.due_ns - arrived_ns <= jitter_ms * NS_PER_MS
        assert moment.captured_ns == moment.due_ns


def test_what_one_stall_has_held_back_is_made_up_for() -> None:
    """No picture of a stall is lost, and the delay disappears afterwards."""
    stall = 10 * NS_PER_S, 12 * NS_PER_S

    def arrival(at_ns: int) -> int:
        return stall[1] if stall[0] < at_ns < stall[1] else at_ns

    played = play(arrival, 900)

    handed_on = [moment.due_ns for _, _, moment in played]
    assert min(b - a for a, b in pairwise(handed_on)) > 0.7 * PERIOD_NS
    assert all(m.due_ns - taken_ns <= BURST_NS for taken_ns, _, m in played[-200:])


@pytest.mark.parametrize("stream_fps", [0.5, 2, 5])
def test_wrong_time_stamps_are_not_believed(stream_fps: float) -> None:
    """Timestamps that contradict the arrival rate are ignored."""
    period_ns = round(NS_PER_S / stream_fps)
    playout = Playout()

    moments = [playout.add(n * NS_PER_S // 25, n * period_ns) for n in range(100)]

    steps = np.diff([moment.captured_ns for moment in moments[3:]])
    assert np.abs(steps - period_ns).max() <= BURST_NS


@pytest.mark.parametrize("jump_s", [-7200, -3, 40, 90_000])
def test_a_jump_of_the_time_stamps_is_a_new_beginning(jump_s: int) -> None:
    """After a jump of the timestamps the capture times still increase."""

    def stamp(at_ns: int) -> int:
        return at_ns + (jump_s * NS_PER_S if at_ns > 10 * NS_PER_S else 0)

    for burst_ns in (PERIOD_NS, 2 * NS_PER_S):
        played = play(in_bursts(burst_ns), 600, stamp)

        captured = [moment.captured_ns for _, _, moment in played]
        assert all(a < b for a, b in pairwise(captured))
        assert all(m.due_ns - arrived_ns < 3 * NS_PER_S for _, arrived_ns, m in played)
        assert all(m.captured_ns <= m.due_ns for _, _, m in played)


def test_without_time_stamps_the_arrival_counts() -> None:
    """Without timestamps the arrival time is used, and times increase strictly."""
    playout = Playout()

    moments = [playout.add(None, at_ns) for at_ns in (5, 5, 5, 9)]

    assert [moment.captured_ns for moment in moments] == [5, 6, 7, 9]


def test_a_stored_stream_plays_at_its_own_rate() -> None:
    """A stored stream is paced by its timestamps; after a late arrival it continues from there."""
    playout = Playout(stored=True)

    due = [playout.add(n * PERIOD_NS, 1000 + n).due_ns for n in range(10)]
    late = playout.add(10 * PERIOD_NS, due[-1] + 5 * NS_PER_S)

    assert due == [1000 + n * PERIOD_NS for n in range(10)]
    assert late.due_ns == due[-1] + 5 * NS_PER_S


def used(moments: list[Moment], fps: float) -> int:
    """Return the number of pictures within the rate `fps` that are not delivered at once."""
    count, due_ns, before_ns = 0, 0.0, -NS_PER_S
    for moment in moments:
        if moment.captured_ns >= due_ns:
            due_ns = max(due_ns + NS_PER_S / fps, moment.captured_ns)
            count += moment.due_ns - before_ns > 20 * NS_PER_MS
            before_ns = moment.due_ns
    return count


@pytest.mark.parametrize("burst_ms", [120, 150, 180, 200, 230, 250, 300])
@pytest.mark.parametrize("fps", [10, 15])
def test_short_bursts_cost_nothing_either(burst_ms: int, fps: int) -> None:
    """Bursts longer than the interval of the used frames are delivered evenly."""
    period_ns, count = NS_PER_S // 30, 900
    playout, now_ns, moments = Playout(fps=fps), 0, []
    for taken_ns in range(0, count * period_ns, period_ns):
        now_ns = max(now_ns, in_bursts(burst_ms * NS_PER_MS)(taken_ns))
        moments.append(playout.add(taken_ns, now_ns))
        now_ns = max(now_ns, moments[-1].due_ns)

    assert used(moments, fps) >= 0.95 * fps * count / 30
    assert max(m.due_ns - m.captured_ns for m in moments) < 2 * burst_ms * NS_PER_MS


@pytest.mark.parametrize("jump_s", [-7200, -3, -0.5, 0.5, 3, 40, 90_000])
def test_a_jump_of_the_time_stamps_costs_no_burst(jump_s: float) -> None:
    """The pictures around a jump keep the interval of those before."""
    jumps_ns = [9_500 * NS_PER_MS, 20_200 * NS_PER_MS, 27_000 * NS_PER_MS]

    def stamp(at_ns: int) -> int:
        return at_ns + round(jump_s * NS_PER_S) * sum(at_ns > jump_ns for jump_ns in jumps_ns)

    played = [p for p in play(in_bursts(2 * NS_PER_S), 600, stamp) if p[1] > 2 * NS_PER_S]

    steps = np.diff([moment.captured_ns for _, _, moment in played])
    assert np.mean(np.abs(steps - PERIOD_NS) <= 2) > 0.98
    if abs(jump_s) > 2:  # a shorter jump may be a pause of the camera
        latest = [moment.captured_ns - arrived_ns for _, arrived_ns, moment in played]
        assert max(latest) <= BURST_NS + PERIOD_NS
