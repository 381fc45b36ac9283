"""Reports on folders of recordings: generated falls with known results."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from edgepose.cli import main
from edgepose.config.loading import load_with_overrides
from edgepose.errors import UsageError
from edgepose.measure import fall_report
from edgepose.mqtt import encoding, topics
from edgepose.people.events.falls import Evidence
from edgepose.timing import NS_PER_S
from edgepose.types import NOT_FOLLOWED, Event, Frame, Track, black_image
from tests.support.body import Act, Actor, Camera, Scene, fall, sit, sit_down, stand

BEGAN_NS = 1_795_377_600 * NS_PER_S
HALL = topics.Topics("edgepose", "pi").camera("hall")
CAMERA = Camera(1.8).aimed_at(4.5)


def save(path: Path, acts: Sequence[Act | Sequence[Act]], labels: str) -> None:
    """Record a generated scene, with a labels file."""
    scene = Scene((Actor.doing(*acts, at=(4.5, 0), heading_deg=120),), CAMERA)
    lines = []
    for number, moment in enumerate(scene.truth()):
        at_ns = BEGAN_NS + moment.at_ns
        image = black_image((moment.size.height, moment.size.width, 3))
        frame = Frame(image, at_ns, at_ns, at_ns)
        found = [Track(NOT_FOLLOWED, pose, moment.at_ns) for pose in moment.people.values()]
        message = encoding.poses(HALL, frame, found, seq=number + 1, latency_ms=0.0, model="m")
        lines.append(message.payload)
    path.write_bytes(b"\n".join(lines) + b"\n")
    path.with_name(path.stem + ".labels.toml").write_text(labels)


def test_labels_say_what_is_wrong_with_them(tmp_path: Path) -> None:
    """Unknown names, missing starts and invalid times are refused with their file."""
    path = tmp_path / "a.labels.toml"
    for text in ("colour = 1", "[[fall]]\nup = 3", '[[fall]]\nstart = "soon"', "[[fall"):
        path.write_text(text)

        with pytest.raises(UsageError, match=r"a\.labels\.toml"):
            fall_report.read_labels(path)


def test_a_folder_without_labels_is_refused(tmp_path: Path) -> None:
    """The error names the expected file."""
    (tmp_path / "a.jsonl").write_text("")

    with pytest.raises(UsageError, match=r"labels\.toml"):
        fall_report.find_recordings(tmp_path)


def test_a_folder_is_scored_by_groups(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One fall is confirmed, one label is missed, a seated person gives no event."""
    (tmp_path / "hall").mkdir()
    down, seat = [stand(3), fall("left", stay=15)], [stand(3), sit_down(1.2), sit(10)]
    save(tmp_path / "hall" / "down.jsonl", down, "[[fall]]\nstart = 3.0\n")
    save(tmp_path / "hall" / "seat.jsonl", seat, 'group = "chair"\n')
    save(tmp_path / "other.jsonl", seat, 'group = "wrong"\n[[fall]]\nstart = 3.0\nup = 5.0\n')

    code = main(["score", str(tmp_path), "--json"])
    told = json.loads(capsys.readouterr().out)["recordings"]
    groups = {one["group"]: one for one in told}
    table_code = main(["score", str(tmp_path)])
    table = capsys.readouterr().out

    assert code == table_code == 0
    (found,) = groups["hall"]["falls"]
    assert 3.0 < found["suspected_s"] < 6.0
    assert 12.0 < found["confirmed_s"] < 16.0
    assert found["missed_at"] is None
    (missed,) = groups["wrong"]["falls"]
    assert missed["suspected_s"] is None
    assert missed["confirmable"] is False
    assert missed["missed_at"] in {"descent not recognised", "posture speaks against"}
    assert sum(one["false_suspected"] + one["false_confirmed"] for one in told) == 0
    assert "missed falls broke off at" in table
    assert "chair" in table


def test_false_alarms_are_named_with_their_recording_and_time(tmp_path: Path) -> None:
    """A fall without a label is a false suspicion and a false confirmation."""
    save(tmp_path / "hall.jsonl", [stand(3), fall("left", stay=15)], "")
    labels = fall_report.read_labels(tmp_path / "hall.labels.toml")

    result = fall_report.score_recording(tmp_path / "hall.jsonl", labels, load_with_overrides(None))
    table = fall_report.report([result]).splitlines()

    assert (result.false_suspected, result.false_confirmed) == (1, 1)
    suspected, confirmed = result.false_alarms
    assert 3.0 < suspected.at_s < 6.0 < confirmed.at_s
    assert any(line.split()[:3] == ["hall.jsonl", "false:", "fall_confirmed"] for line in table)


def test_a_second_suspicion_of_a_fall_is_no_false_alarm(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Events soon after a fall that was found are counted apart; later ones are false."""
    save(tmp_path / "hall.jsonl", [stand(1)], "[[fall]]\nstart = 3.0\n")
    labels = fall_report.read_labels(tmp_path / "hall.labels.toml")
    moments = [
        fall_report._Moment(at_s, 1, [], [Event("fall_suspected", 0, person=1, score=1.0)])
        for at_s in (4.0, 9.0, 60.0)
    ]
    monkeypatch.setattr(fall_report, "_walk_frames", lambda *_: iter(moments))

    result = fall_report.score_recording(tmp_path / "hall.jsonl", labels, load_with_overrides(None))

    assert result.repeated == 1
    assert [alarm.at_s for alarm in result.false_alarms] == [60.0]


@pytest.mark.parametrize(
    ("descent", "down", "slowness", "covered", "stage"),
    [
        (-1.0, 1.0, 0.0, False, "descent not recognised"),
        (0.5, -2.0, 0.0, False, "posture speaks against"),
        (0.4, 0.0, 0.0, False, "posture speaks against"),
        (2.0, 1.0, -4.0, False, "went down slowly"),
        (2.0, 1.0, 0.0, True, "behind another person"),
        (2.0, 1.0, 0.0, False, "evidence too short"),
    ],
)
def test_a_missed_fall_is_explained_by_its_evidence(
    descent: float, down: float, slowness: float, *, covered: bool, stage: str
) -> None:
    """The stage is the first one at which the evidence is not enough."""
    evidence = Evidence(1, descent, down, slowness, visible=False, covered=covered, fallen=False)
    moments = [fall_report._Moment(at_s / 10, 1, [evidence], []) for at_s in range(100)]

    assert fall_report._missed_at(moments, start_s=3.0) == stage


def test_what_does_not_fit_a_folder_is_refused(tmp_path: Path) -> None:
    """A labels file for a folder, and a recording without one, are usage errors."""
    (tmp_path / "a.jsonl").write_text("")

    assert main(["score", str(tmp_path), str(tmp_path / "labels.toml")]) == 2
    assert main(["score", str(tmp_path / "a.jsonl")]) == 2
