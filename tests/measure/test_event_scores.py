"""Scores of events against labels: cases computed by hand."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest

from edgepose.cli import main
from edgepose.errors import UsageError
from edgepose.measure import event_scores
from edgepose.measure.event_scores import (
    DetectedEvent,
    Label,
    Labels,
    Score,
    match,
    read_labels,
    score,
)
from edgepose.mqtt import encoding, topics
from edgepose.timing import NS_PER_S
from edgepose.types import Box, Event, Frame, Pose, Track

BEGAN_NS = 1_795_377_600 * NS_PER_S
HOUR = 3600.0
HALL = topics.Topics("edgepose", "pi").camera("hall")


def fall(at_s: float, camera: str = "hall", person: int | None = 1) -> DetectedEvent:
    return DetectedEvent("fall_confirmed", at_s, camera, person)


def label(start_s: float, end_s: float, **more: object) -> Label:
    return Label("fall_confirmed", start_s, end_s, **more)  # type: ignore[arg-type]


def scored(labels: list[Label], events: list[DetectedEvent], tolerance_s: float = 0.0) -> Score:
    (one,) = score(Labels(("fall_confirmed",), tuple(labels), tolerance_s), events, HOUR)
    return one


def test_known_events_give_known_numbers() -> None:
    """Three of four labels are found, and one event is false."""
    labels = [label(10, 20), label(100, 110), label(200, 210), label(300, 310)]
    events = [fall(12), fall(105), fall(150), fall(209)]

    one = scored(labels, events)

    assert (one.labelled, one.found, one.missed, one.false) == (4, 3, 1, 1)
    assert (one.precision, one.recall) == (0.75, 0.75)
    assert (one.delay_s, one.longest_delay_s) == (5.0, 9.0)
    assert one.false_per_day == 24.0


def test_nothing_is_matched_twice() -> None:
    """A second event for a label is false, a second label for an event is missed."""
    two_events = scored([label(10, 20)], [fall(12), fall(14)])
    two_labels = scored([label(10, 20), label(11, 21)], [fall(12)])

    assert (two_events.found, two_events.false, two_events.missed) == (1, 1, 0)
    assert (two_labels.found, two_labels.false, two_labels.missed) == (1, 0, 1)


def test_a_label_takes_the_first_event_in_it() -> None:
    """The first of two events is matched, so the delay is the shorter one."""
    assert scored([label(10, 20)], [fall(18), fall(12)]).delay_s == 2.0


def test_the_tolerance_reaches_beyond_both_ends() -> None:
    """The tolerance applies before and after the label; an early event has a negative delay."""
    labels = [label(10, 20)]

    found = [scored(labels, [fall(at_s)], 1.0).found for at_s in (8.9, 9, 15, 21, 21.1)]

    assert found == [0, 1, 1, 1, 0]
    assert scored(labels, [fall(9)], 1.0).delay_s == -1.0


def test_as_many_as_possible_are_matched() -> None:
    """The matching is as large as that of the best assignment."""
    rng = np.random.default_rng(3)
    for _ in range(60):
        starts = rng.integers(0, 12, 4).tolist()
        labels = [label(start, start + rng.integers(0, 6)) for start in starts]
        events = [fall(float(at_s)) for at_s in sorted(rng.integers(0, 16, 4).tolist())]
        best = max(
            sum(events[e].tells(labels[n], 0) for n, e in enumerate(order))
            for order in itertools.permutations(range(4))
        )

        pairs = match(labels, events, 0)

        assert len(pairs) == best
        assert len(set(pairs.values())) == len(pairs)
        assert all(events[e].tells(labels[n], 0) for n, e in pairs.items())


def test_what_a_label_names_must_agree() -> None:
    """Camera, person and zone of a label must match the event."""
    event = DetectedEvent("zone_entered", 5, "hall", 7, {"zone": "sofa"})

    agreeing = [
        event.tells(Label("zone_entered", 5, 5, **more), 0)  # type: ignore[arg-type]
        for more in (
            {},
            {"camera": "hall", "person": 7, "data": {"zone": "sofa"}},
            {"camera": "door"},
            {"person": 8},
            {"data": {"zone": "door"}},
        )
    ]

    assert agreeing == [True, True, False, False, False]
    assert not event.tells(Label("zone_left", 5, 5), 0)


def test_each_gesture_is_scored_by_itself() -> None:
    """A wave recognised as a raised hand is one missed and one false."""
    labels = Labels(("gesture",), (Label("gesture", 5, 9, data={"gesture": "wave"}),))
    events = [DetectedEvent("gesture", 6, "hall", 1, {"gesture": "hand_raised", "side": "left"})]

    rows = {one.kind: (one.found, one.missed, one.false) for one in score(labels, events, HOUR)}

    assert rows == {"gesture:hand_raised": (0, 0, 1), "gesture:wave": (0, 1, 0)}


def test_types_that_were_not_looked_for_are_not_scored() -> None:
    """Only the labelled types are scored."""
    events = [fall(5), DetectedEvent("person_appeared", 1, "hall")]

    rows = score(Labels(("fall_confirmed",), ()), events, HOUR)

    assert [(one.kind, one.false, one.recall) for one in rows] == [("fall_confirmed", 1, None)]


def test_silence_about_nothing_is_a_row_too() -> None:
    """Without labels and events there is a row with zero false alarms."""
    (one,) = score(Labels(("fall_confirmed",), ()), [], HOUR)

    assert (one.labelled, one.false, one.false_per_day) == (0, 0, 0.0)
    assert (one.precision, one.recall, one.delay_s) == (None, None, None)


def test_labels_are_read_from_toml_and_lines_alike(tmp_path: Path) -> None:
    """TOML and JSON lines, seconds and wall times give the same labels."""
    toml, lines = tmp_path / "labels.toml", tmp_path / "labels.jsonl"
    toml.write_text(
        "tolerance_s = 0.5\n"
        '[[label]]\ntype = "gesture"\ngesture = "wave"\nstart = 3\nend = 6.5\nperson = 2\n'
        '[[label]]\ntype = "zone_left"\nzone = "sofa"\nstart = 2026-11-22T20:00:04.250Z\n'
    )
    lines.write_text(
        '{"tolerance_s": 0.5}\n'
        '{"type": "gesture", "gesture": "wave", "start": 3, "end": 6.5, "person": 2}\n'
        '{"type": "zone_left", "zone": "sofa", "start": "2026-11-22T20:00:04.250Z"}\n'
    )

    labels = read_labels(toml, BEGAN_NS)

    assert labels == read_labels(lines, BEGAN_NS)
    assert labels.types == ("gesture", "zone_left")
    assert labels.labels == (
        Label("gesture", 3, 6.5, None, 2, {"gesture": "wave"}),
        Label("zone_left", 4.25, 4.25, data={"zone": "sofa"}),
    )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "types"),
        ("label = 3", "[[label]]"),
        ('[[label]]\ntype = "fall_confirmed"', "start"),
        ('[[label]]\ntype = "fall_confirmed"\nstart = 5\nend = 4', "before"),
        ('[[label]]\ntype = "fall_confirmed"\nstart = "noon"', "noon"),
        ('[[label]]\ntype = "fall_confirmed"\nstart = true', "seconds"),
        ('[[label]]\ntype = "gesture"\nstart = 5', "wave"),
        ('[[label]]\ntype = "gesture"\ngestur = "wave"\nstart = 5', "gestur"),
        ('types = ["gesture"]\n[[label]]\ntype = "zone_left"\nstart = 1', "type zone_left"),
        ('types = ["gesturee"]', 'did you mean "gesture"?'),
        ('[[label]]\ntype = "fall"\nstart = 5', "fall_confirmed"),
        ('[[label]]\ntype = "gesture"\ngesture = "waev"\nstart = 5', 'did you mean "wave"?'),
        ("tolerance_s = -1", "types"),
        ("= 3", "TOML"),
    ],
)
def test_labels_that_cannot_be_meant_are_refused(tmp_path: Path, text: str, named: str) -> None:
    """The error has the file and what is wrong in it."""
    path = tmp_path / "labels.toml"
    path.write_text(text)

    with pytest.raises(UsageError) as error:
        read_labels(path, BEGAN_NS)

    assert str(path) in str(error.value)
    assert named in str(error.value)


def test_gestures_of_the_configuration_can_be_labelled(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Gestures of the configuration are known with `-c`, and not without."""
    path, labels, config = (tmp_path / name for name in ("r.jsonl", "labels.toml", "own.toml"))
    recorded(path, {float(second): True for second in range(3)})
    labels.write_text('[[label]]\ntype = "gesture"\ngesture = "salute"\nstart = 1\n')
    config.write_text('[[gesture]]\nid = "salute"\nwhen = ["wrist above nose"]\n')

    codes = [main(["score", str(path), str(labels), *more]) for more in ([], ["-c", str(config)])]

    assert codes == [2, 0]
    assert 'unknown gesture "salute"' in capsys.readouterr().err


def test_the_example_of_the_documentation_can_be_read(tmp_path: Path) -> None:
    """The example in docs/events.md is a valid labels file."""
    text = (Path(__file__).parents[2] / "docs" / "events.md").read_text()
    (example,) = re.findall(r"```toml\n(types = .*?)```", text, re.DOTALL)
    path = tmp_path / "labels.toml"
    path.write_text(example)

    assert [one.type for one in read_labels(path, BEGAN_NS).labels] == ["fall_confirmed", "gesture"]


def recorded(path: Path, seen: dict[float, bool]) -> None:
    """Write a recording in which one person is in view at given times."""
    pose = Pose(np.full((17, 3), 0.9, np.float32), 0.8, Box(10, 20, 30, 40))
    image = np.zeros((72, 128, 3), np.uint8)
    with path.open("wb") as file:
        file.write(b'{"edgepose_recording": 1, "followed": true}\n')
        for seq, (seconds, there) in enumerate(seen.items()):
            frame = Frame(image, 0, BEGAN_NS + round(seconds * NS_PER_S), 0)
            people = [Track(4, pose, 0)] if there else []
            said = [encoding.poses(HALL, frame, people, seq=seq, latency_ms=1, model="m")]
            if seconds == 3.0:
                said.append(encoding.event(HALL, Event("person_appeared", 0, 4, 1.0), frame))
            for message in said:
                start = f'{{"t":{seconds},"topic":"{message.topic}","payload":'.encode()
                file.write(start + message.payload + b"}\n")


def test_a_recording_is_scored_from_end_to_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The command detects the events again, or scores the recorded ones."""
    path, labels = tmp_path / "hall.jsonl", tmp_path / "labels.toml"
    recorded(path, {n / 10: 20 <= n < 60 for n in range(200)})
    labels.write_text(
        'tolerance_s = 0.2\n[[label]]\ntype = "person_appeared"\nstart = 2.0\nend = 2.6\n'
        '[[label]]\ntype = "person_left"\nstart = 6\nend = 11\n'
    )

    codes = [
        main(["score", str(path), str(labels), "--json", *more]) for more in ([], ["--recorded"])
    ]
    anew, as_recorded = (json.loads(line) for line in capsys.readouterr().out.splitlines())

    assert codes == [0, 0]
    assert anew["watched_s"] == pytest.approx(19.9)
    assert [(s["kind"], s["found"], s["false"], s["delay_s"]) for s in anew["scores"]] == [
        ("person_appeared", 1, 0, 0.5),
        ("person_left", 1, 0, 5.0),
    ]
    assert [(s["found"], s["false"]) for s in as_recorded["scores"]] == [(0, 1), (0, 0)]


def test_the_table_is_for_people(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The table has one row per kind, with units in words."""
    path, labels = tmp_path / "hall.jsonl", tmp_path / "labels.toml"
    recorded(path, {n / 10: False for n in range(50)})
    labels.write_text('types = ["fall_confirmed"]\n')

    assert main(["score", str(path), str(labels)]) == 0

    head, row, *_ = capsys.readouterr().out.splitlines()
    assert head.split()[:4] == ["event", "labels", "found", "missed"]
    assert row.split()[0] == "fall_confirmed"
    assert row.split()[-1] == "0.00"


def test_a_camera_that_was_away_was_not_watched(tmp_path: Path) -> None:
    """Gaps in the recording do not count for false alarms per day."""
    from edgepose.recording import frames, reader

    path = tmp_path / "hall.jsonl"
    recorded(path, {float(n): False for n in (0, 1, 2, 3602, 3603)})

    watched = event_scores.watched_s(frames.frames(reader.open_recording(path)))

    assert watched == 3.0
