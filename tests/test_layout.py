"""Each module has its tests in the expected place."""

import ast
from collections import Counter
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent
MOVED: Final = {"messages.py", "sources.py", "decoders.py"}
"""Deprecated names, all tested by `test_api`."""

MODULES: Final = sorted(
    path.relative_to(ROOT / "edgepose").with_suffix("").as_posix()
    for path in (ROOT / "edgepose").rglob("*.py")
    if path.stem not in {"__init__", "__main__", "_version"}
    and path.relative_to(ROOT / "edgepose").as_posix() not in MOVED
)

ELSEWHERE: Final = {
    "camera/build": "service/test_wiring",
    "camera/motion": "camera/test_motion_gate",
    "camera/sources/capture": "camera/sources/test_files",
    "camera/sources/demuxer": "camera/sources/test_films",
    "commands/bench": "measure/test_benchmark",
    "commands/config": "test_cli",
    "commands/doctor": "doctor/test_checks",
    "commands/eval": "measure/test_accuracy",
    "commands/models": "test_cli",
    "commands/record": "recording/test_reader",
    "commands/replay": "recording/test_reader",
    "commands/run": "service/test_daemon",
    "commands/score": "measure/test_event_scores",
    "commands/watch": "mqtt/test_subscriber",
    "commands/web": "web/test_server",
    "config/files": "test_cli",
    "config/gesture_rules": "people/events/test_gestures",
    "config/loading": "config/test_schema",
    "config/toml_edit": "web/test_editing",
    "doctor/broker": "doctor/test_checks",
    "doctor/live": "service/test_camera_control",
    "doctor/machine": "doctor/test_checks",
    "doctor/model": "doctor/test_checks",
    "doctor/remedies": "doctor/test_checks",
    "mqtt/announcer": "mqtt/test_discovery",
    "mqtt/composer": "camera/test_pipeline",
    "mqtt/encoding": "mqtt/test_messages",
    "mqtt/options": "mqtt/test_client",
    "mqtt/paho_client": "mqtt/test_client",
    "mqtt/rate_limit": "mqtt/test_command_handler",
    "mqtt/requests": "mqtt/test_command_handler",
    "mqtt/session": "mqtt/test_client",
    "mqtt/spool_segments": "mqtt/test_spool",
    "mqtt/topics": "mqtt/test_messages",
    "people/assignment": "people/test_tracking",
    "people/body_measures": "people/events/test_falls",
    "people/events/fall_window": "people/events/test_falls",
    "people/perceptron": "people/test_posture",
    "people/build": "service/test_wiring",
    "people/events/debounce": "people/events/test_zones",
    "people/events/postures": "people/test_posture",
    "people/events/successors": "people/events/test_long_lies",
    "people/kinematics": "people/test_floor",
    "people/follower": "camera/test_pipeline",
    "people/matching": "people/test_tracking",
    "pose/delegate_backoff": "pose/test_delegate_trial",
    "pose/delegates/cpu": "pose/delegates/test_registry",
    "pose/delegates/edgetpu": "pose/delegates/test_registry",
    "pose/delegates/library": "pose/delegates/test_registry",
    "recording/webp": "recording/test_clips",
    "recording/frames": "recording/test_reader",
    "recording/jsonl": "recording/test_reader",
    "recording/mcap": "recording/test_reader",
    "recording/replay": "recording/test_reader",
    "service/page_host": "web/bridge/test_launcher",
    "service/state": "service/test_cameras",
    "service/watchdog": "camera/test_health",
    "suggestions": "config/test_error_messages",
    "system/hardware": "system/test_process",
    "service/metrics_http": "service/test_metrics",
    "web/answers": "web/test_server",
    "web/api_parameters": "web/test_api",
    "web/bridge/channel": "web/bridge/test_launcher",
    "web/bridge/preview": "web/bridge/test_launcher",
    "web/bridge/process": "web/bridge/test_launcher",
    "web/certificates": "web/test_server",
    "web/daemon_client": "web/test_server",
    "web/feed": "web/bridge/test_launcher",
    "web/live": "web/test_server",
    "web/openapi": "web/test_api",
    "web/requirements": "web/bridge/test_launcher",
    "web/skeletons": "web/test_api",
    "web/tokens": "web/test_guard",
}
"""Modules tested in the file of another one, and that file."""


@pytest.mark.parametrize("module", MODULES)
def test_each_module_has_its_tests(module: str) -> None:
    """The tests are in the mirrored file, or in the one listed above."""
    package, _, name = module.rpartition("/")
    file = ELSEWHERE.get(module, f"{package}/test_{name}".lstrip("/"))

    assert (ROOT / "tests" / f"{file}.py").exists()


def test_only_modules_without_their_own_tests_are_listed() -> None:
    """Listed modules exist and have no test file of their own."""
    assert set(ELSEWHERE) <= set(MODULES)
    for module in ELSEWHERE:
        package, _, name = module.rpartition("/")
        assert not (ROOT / "tests" / package / f"test_{name}.py").exists(), module


def test_a_class_name_occurs_once() -> None:
    """Class names are unique."""
    names = Counter(
        node.name
        for file in (ROOT / "edgepose").rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef)
    )

    assert [name for name, count in names.items() if count > 1] == []


def test_the_daemon_reads_in_one_sitting() -> None:
    """daemon.py has at most 250 lines."""
    lines = (ROOT / "edgepose" / "service" / "daemon.py").read_text(encoding="utf-8").splitlines()

    assert len(lines) <= 250
