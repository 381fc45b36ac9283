"""Line counts: they persist across restarts and can be reset."""

from pathlib import Path

from edgepose.config.loading import loads
from edgepose.service.line_counts import LineCounts, NotedCounts
from edgepose.system.storage import StateFile
from edgepose.timing import Clock
from edgepose.types import Event

(HALL,) = loads(
    """
[[camera]]
id = "hall"
source = "demo://"
[[camera.line]]
id = "door"
points = [[0, 0], [1, 1]]
sides = ["in", "out"]
[[camera.line]]
id = "stairs"
points = [[0, 1], [1, 0]]
""",
    "test",
).cameras


def counts(path: Path | None) -> LineCounts:
    return LineCounts(StateFile(path, NotedCounts), Clock())


def crossed(line: str, to: str) -> Event:
    return Event("line_crossed", 0, 1, 0.9, {"line": line, "from": "-", "to": to})


def test_each_direction_has_its_count() -> None:
    """All sides exist from the start; other events are not counted."""
    kept = counts(None)
    before = kept.count(HALL, [Event("wave", 0, 1, 0.9)])

    after = kept.count(HALL, [crossed("door", "in"), crossed("door", "in"), crossed("door", "out")])

    assert before == {"door": {"in": 0, "out": 0}, "stairs": {"left": 0, "right": 0}}
    assert after == {"door": {"in": 2, "out": 1}, "stairs": {"left": 0, "right": 0}}


def test_a_restart_goes_on_counting(tmp_path: Path) -> None:
    """Stored counts are restored."""
    first = counts(tmp_path / "lines.json")
    first.count(HALL, [crossed("door", "in")])
    first.store()

    second = counts(tmp_path / "lines.json")

    assert second.count(HALL, [crossed("door", "in")])["door"] == {"in": 2, "out": 0}


def test_a_busy_door_does_not_write_each_time(tmp_path: Path) -> None:
    """The file is written at most once a minute."""
    now_ns = [0]
    clock = Clock()
    clock.now_ns = lambda: now_ns[0]  # type: ignore[method-assign]
    kept = LineCounts(StateFile(tmp_path / "lines.json", NotedCounts), clock)
    for _ in range(1000):
        kept.count(HALL, [crossed("door", "in")])
    unwritten = not (tmp_path / "lines.json").exists()

    now_ns[0] = 61 * 10**9
    kept.count(HALL, [crossed("door", "in")])

    assert unwritten
    assert counts(tmp_path / "lines.json").count(HALL, ())["door"]["in"] == 1001


def test_a_reset_of_one_line_leaves_the_others(tmp_path: Path) -> None:
    """The reset is stored at once."""
    kept = counts(tmp_path / "lines.json")
    kept.count(HALL, [crossed("door", "in"), crossed("stairs", "left")])

    kept.reset(HALL, "door")

    again = counts(tmp_path / "lines.json").count(HALL, ())
    assert again == {"door": {"in": 0, "out": 0}, "stairs": {"left": 1, "right": 0}}
    assert kept.reset(HALL) == {"door": {"in": 0, "out": 0}, "stairs": {"left": 0, "right": 0}}
