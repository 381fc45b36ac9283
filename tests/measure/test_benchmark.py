"""The benchmark: a real daemon and broker, compared with the bare loop."""

import json
from pathlib import Path

import pytest

from edgepose.cli import main
from edgepose.measure.benchmark import Round
from edgepose.measure.cpu import PARTS
from tests.support.moving import clip


def test_a_round_compares_what_ran_side_by_side() -> None:
    """A ratio of 1 means that the network is the limit."""
    one = Round(daemon_hz=95, bare_hz=100, cpu_ms={"total": 12.5}, bare_cpu_ms=8.0)

    assert one.ratio == pytest.approx(0.95)
    assert one.beside_ms == pytest.approx(4.5)


def test_several_models_have_no_bare_loop(capsys: pytest.CaptureFixture[str]) -> None:
    """Presets are refused: the bare loop runs a single model."""
    assert main(["bench", "-m", "refined"]) == 2
    assert "several models" in capsys.readouterr().err


@pytest.mark.slow
def test_frames_are_looked_at_as_many_as_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The demo is repeated as needed; a video that is too short is refused at once."""
    words = ["bench", "-m", "movenet-lightning", "--rounds", "1", "--frames"]
    film = clip(tmp_path / "film.avi", 30)

    assert main([*words, "150", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert main([*words, "11", "--source", str(film)]) == 2

    assert report["frames"] == 150
    assert "film.avi has 30 frames of the 31 needed" in capsys.readouterr().err


def test_a_broker_that_does_not_answer_is_no_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    """An unreachable broker ends the benchmark with an error."""
    assert main(["bench", "--mqtt", "mqtt://127.0.0.1:1"]) == 1
    assert "bench: no broker at 127.0.0.1:1: connection refused" in capsys.readouterr().err


@pytest.mark.slow
def test_it_says_what_was_measured_on_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The report has ratio, rounds, stages in order, memory, start-up and checksum."""
    words = ["bench", "-m", "movenet-lightning", "--rounds", "2", "--frames", "20"]

    assert main([*words, "--memory", "--marks", "30", "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert len(report["rounds"]) == 2
    assert report["ratio"] > 0
    walk = ["prepare", "infer", "decode", "follow", "compose", "publish"]
    assert list(report["stages_ms"]) == walk
    cpu = report["cpu_ms"]
    assert sum(cpu[part] for part in (*PARTS[:-1],)) == pytest.approx(cpu["total"], abs=0.02)
    assert cpu["infer"] > cpu["prepare"] > 0
    assert cpu["total"] > cpu["bare"] > 0
    for entry in report["rounds"]:
        assert entry["beside_ms"] == pytest.approx(entry["cpu_ms"] - entry["bare_cpu_ms"], abs=0.01)
    assert report["memory_mb"]["30"] > report["bare_memory_mb"] > 10
    assert 0 < report["first_pose_s"] < 30
    assert len(report["sha256"]) == 64
    assert 0 < report["latency_ms"]["p50"] <= report["latency_ms"]["p99"]
