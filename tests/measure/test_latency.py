"""The time from a frame's capture to another client of the broker."""

import json

import pytest

from edgepose.cli import main
from edgepose.measure.latency import Latency, summary


def test_the_summary_has_percentiles_of_both_parts() -> None:
    """The summary has percentiles of the inference and of the time beyond it."""
    found = summary(Latency(list(range(101)), [2.0 * n for n in range(101)]))

    assert found["inference_ms"] == {"p50": 50, "p95": 95, "p99": 99}
    assert found["beyond_ms"] == {"p50": 100, "p95": 190, "p99": 198}


@pytest.mark.slow
def test_bench_measures_the_latency_of_a_paced_source(capsys: pytest.CaptureFixture[str]) -> None:
    """The latency of a source at its own rate is positive and below 5 s."""
    words = ["bench", "-m", "movenet-lightning", "--latency", "--frames", "30", "--json"]

    assert main(words) == 0

    report = json.loads(capsys.readouterr().out)
    assert report["inference_ms"]["p50"] > 0
    assert 0 < report["beyond_ms"]["p50"] <= report["beyond_ms"]["p99"] < 5000
