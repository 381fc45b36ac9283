"""The alert rules, tested with promtool: each fires when it should, and only then."""

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Final, NamedTuple

import pytest

RULES: Final = Path(__file__).parents[2] / "deploy" / "prometheus" / "edgepose.rules.yaml"
PROMTOOL: Final = shutil.which("promtool") or ""
LAST: Final = 70  # minutes, one sample each: the slowest alert waits for an hour


class Case(NamedTuple):
    """Series that fire an alert, and series of normal operation.

    Values are in promtool's notation: `0+6x70` starts at 0 and grows by 6 a minute.
    """

    rings: dict[str, str]
    well: dict[str, str]


HALL: Final = 'camera="hall"'
FOR_EVER: Final = f"x{LAST}"

CASES: Final = {
    "EdgeposeDown": Case({"up": f"0{FOR_EVER}"}, {"up": f"1{FOR_EVER}"}),
    "EdgeposeRestarting": Case(
        {"process_start_time_seconds": f"1+60{FOR_EVER}"},
        {"process_start_time_seconds": f"1{FOR_EVER}"},
    ),
    "EdgeposeCameraDown": Case(
        {f"edgepose_camera_up{{{HALL}}}": f"0{FOR_EVER}"},
        {f"edgepose_camera_up{{{HALL}}}": "1x50 0 0 1x18"},
    ),
    "EdgeposeCameraFlapping": Case(
        {f"edgepose_camera_reconnects_total{{{HALL}}}": f"0+1{FOR_EVER}"},
        {f"edgepose_camera_reconnects_total{{{HALL}}}": "0x50 1x20"},
    ),
    "EdgeposeStalled": Case(
        {
            f"edgepose_frames_received_total{{{HALL}}}": f"0+600{FOR_EVER}",
            f"edgepose_frames_processed_total{{{HALL}}}": f"7{FOR_EVER}",
            f'edgepose_frames_dropped_total{{{HALL},reason="paused"}}': f"0{FOR_EVER}",
        },
        {
            f"edgepose_frames_received_total{{{HALL}}}": f"0+600{FOR_EVER}",
            f"edgepose_frames_processed_total{{{HALL}}}": f"7{FOR_EVER}",
            f'edgepose_frames_dropped_total{{{HALL},reason="paused"}}': f"0+600{FOR_EVER}",
        },
    ),
    "EdgeposeBrokerAway": Case(
        {"edgepose_broker_connected": f"0{FOR_EVER}"},
        {"edgepose_broker_connected": "1x50 0 0 1x18"},
    ),
    "EdgeposeEventsWaiting": Case(
        {"edgepose_events_waiting": f"3{FOR_EVER}", "edgepose_broker_connected": f"1{FOR_EVER}"},
        {"edgepose_events_waiting": f"3{FOR_EVER}", "edgepose_broker_connected": f"0{FOR_EVER}"},
    ),
    "EdgeposeEventsLost": Case(
        {'edgepose_messages_dropped_total{kind="event"}': "0x65 2x5"},
        {
            'edgepose_messages_dropped_total{kind="event"}': f"0{FOR_EVER}",
            'edgepose_messages_dropped_total{kind="poses"}': f"0+600{FOR_EVER}",
        },
    ),
    "EdgeposeDelegateBenched": Case(
        {"edgepose_delegate_benched": f"1{FOR_EVER}"}, {"edgepose_delegate_benched": "0x40 1x30"}
    ),
    "EdgeposeSlow": Case(
        {
            f'edgepose_latency_seconds_bucket{{{HALL},le="0.5"}}': f"0{FOR_EVER}",
            f'edgepose_latency_seconds_bucket{{{HALL},le="+Inf"}}': f"0+600{FOR_EVER}",
            f'edgepose_latency_seconds_bucket{{{HALL},le="1.0"}}': f"0+600{FOR_EVER}",
        },
        {
            f'edgepose_latency_seconds_bucket{{{HALL},le="0.5"}}': f"0+600{FOR_EVER}",
            f'edgepose_latency_seconds_bucket{{{HALL},le="+Inf"}}': f"0+600{FOR_EVER}",
        },
    ),
    "EdgeposeUnderVoltage": Case(
        {
            'edgepose_throttling{flag="under_voltage",when="now"}': f"0{FOR_EVER}",
            'edgepose_throttling{flag="under_voltage",when="since_boot"}': "0x30 1x40",
        },
        {
            'edgepose_throttling{flag="under_voltage",when="now"}': f"0{FOR_EVER}",
            'edgepose_throttling{flag="throttled",when="since_boot"}': f"1{FOR_EVER}",
        },
    ),
    "EdgeposeHot": Case(
        {"edgepose_throttled": f"1{FOR_EVER}", "edgepose_temperature_celsius": f"60{FOR_EVER}"},
        {"edgepose_throttled": f"0{FOR_EVER}", "edgepose_temperature_celsius": f"79{FOR_EVER}"},
    ),
}


def test_there_is_a_case_for_every_alert() -> None:
    """The cases are exactly the alerts of the rules."""
    assert re.findall(r"alert: (\w+)", RULES.read_text()) == list(CASES)


@pytest.mark.slow
@pytest.mark.skipif(not PROMTOOL, reason="no promtool here: sh tests/support/install-promtool.sh")
def test_each_rings_when_it_should_and_only_then(tmp_path: Path) -> None:
    """Each alert fires once for its device and camera; promtool reports deviations."""
    ringing = {alert: case.rings for alert, case in CASES.items()}
    silent = {alert: case.well for alert, case in CASES.items()}
    told = {
        "rule_files": [str(RULES)],
        "evaluation_interval": "1m",
        "tests": [_tried(ringing, times=1), _tried(silent, times=0)],
    }
    file = tmp_path / "tests.yaml"  # JSON is a subset of YAML
    file.write_text(json.dumps(told))

    done = subprocess.run(
        [PROMTOOL, "test", "rules", str(file)], capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr


def _tried(devices: dict[str, dict[str, str]], *, times: int) -> dict[str, object]:
    """Return a promtool test: for each alert a device of that name, with its series."""
    firing = 'alertstate="firing"'
    found = [{"labels": "{}", "value": times}] if times else []
    return {
        "interval": "1m",
        "input_series": [
            {"series": _of_device(alert, name), "values": values}
            for alert, series in devices.items()
            for name, values in series.items()
        ],
        "promql_expr_test": [
            {
                "expr": f'count(ALERTS{{instance="{alert}",{firing},alertname="{alert}"}})',
                "eval_time": f"{LAST}m",
                "exp_samples": found,
            }
            for alert in devices
        ],
    }


def _of_device(device: str, name: str) -> str:
    """Add the labels that Prometheus adds when scraping."""
    bare, _, labels = name.partition("{")
    return f'{bare}{{instance="{device}",job="edgepose",{labels or "}"}'
