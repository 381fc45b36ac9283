"""The daemon's share of the machine's best bare rate."""

import json
import os

import pytest

from edgepose.cli import main
from edgepose.measure.scaling import MeasuredRate, Sample, Scaling
from edgepose.pose.arrangement import Arrangement, arrangements


def test_the_share_is_that_of_the_best_bare_rate() -> None:
    """The share refers to the best round of the best arrangement."""
    slow, quick = Arrangement(1, 1), Arrangement(2, 1)
    bare = (
        MeasuredRate(0, slow, (Sample(50, 16.0), Sample(60, 15.0))),
        MeasuredRate(0, quick, (Sample(90, 20.0), Sample(100, 21.0))),
    )
    daemon = MeasuredRate(2, slow, (Sample(40, 19.0), Sample(55, 18.0), Sample(45, 25.0)))

    scaling = Scaling(bare, (daemon,))

    assert scaling.best.arrangement == quick
    assert scaling.share(daemon) == pytest.approx(0.55)
    assert scaling.cpu_share(daemon) == pytest.approx(15 / 18)


@pytest.mark.slow
def test_scaling_is_measured_with_one_two_and_four_cameras(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The report has every arrangement of the bare loop, and 1, 2 and 4 cameras."""
    words = ["bench", "-m", "movenet-lightning", "--scaling", "--rounds", "1", "--frames", "20"]

    assert main([*words, "--json"]) == 0

    report = json.loads(capsys.readouterr().out)
    assert set(report["bare"]) == set(map(str, arrangements(os.cpu_count() or 1)))
    assert [entry["cameras"] for entry in report["daemon"]] == [1, 2, 4]
    best = max(entry["best_hz"] for entry in report["bare"].values())
    for entry in report["daemon"]:
        bare = report["bare"][entry["arrangement"]]
        assert entry["share_of_best"] == pytest.approx(entry["best_hz"] / best, abs=0.02)
        assert entry["share_by_cpu"] == pytest.approx(bare["cpu_ms"] / entry["cpu_ms"], abs=0.02)
