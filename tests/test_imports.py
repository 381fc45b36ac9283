"""Tests of the direction of imports: stages know the nouns, never each other."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent / "edgepose"

NOUNS: Final = {
    "addresses",
    "chatter",
    "complaints",
    "config",
    "errors",
    "geometry",
    "gestures",
    "integrity",
    "models",
    "registry",
    "skeleton",
    "structures",
    "tflite_schema",
    "timing",
    "toml",
    "zones",
}
"""No threads, no hardware; importable anywhere."""

STAGES: Final = {
    "drawing",
    "engine",
    "messages",
    "motion",
    "policies",
    "posture",
    "preprocess",
    "smoothing",
    "tracking",
    "view",
    "decoders",
    "delegates",
    "events",
    "sinks",
    "sources",
}
"""Modules and packages that know the nouns and themselves."""

WIRING: Final = {
    "__init__",
    "__main__",
    "answering",
    "api",
    "benchmarking",
    "broker",
    "building",
    "camera",
    "catalogue",
    "charts",
    "checkup",
    "choosing",
    "cli",
    "commands",
    "contract",
    "control",
    "daemon",
    "doctor",
    "estimator",
    "evaluation",
    "fetching",
    "gate",
    "hatch",
    "health",
    "homeassistant",
    "link",
    "listening",
    "logs",
    "metrics",
    "page",
    "pictures",
    "pipeline",
    "queues",
    "recording",
    "reference",
    "remote",
    "retained",
    "scoring",
    "settings",
    "snapshots",
    "spool",
    "standby",
    "storage",
    "subscriber",
    "systemd",
    "trials",
    "verbs",
    "vitals",
    "web",
}
"""May import everything above."""

NOUN_LIBRARIES: Final = {"msgspec", "numpy", "tflite"}  # tflite: the schema, no runtime

ONE_FILE: Final = (
    {"paho"},
    {"picamera2", "libcamera"},
    {"ai_edge_litert", "tflite_runtime", "tensorflow"},
    {"tflite"},
)
"""Libraries of a group are imported in the same one file, so that it can be left unloaded."""

PICTURES: Final = ("preprocess", "drawing", "motion", "pictures", "sources.", "view")
"""Where pictures are resized, drawn, read or written: the only places of cv2."""

FILES: Final = sorted(ROOT.rglob("*.py"))


def module(file: Path) -> str:
    """Return the name of a file's module below `edgepose`: ``events.falls``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def part(name: str) -> str:
    """Return the module or package at the top that something belongs to."""
    return name.partition(".")[0]


def imports(file: Path) -> Iterator[str]:
    """Return the full names of what a file imports, wherever in it."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str() as origin, names=names, level=0):
                yield from (f"{origin}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                pytest.fail(f"{file}: a relative import; write the full name")


def own(file: Path) -> set[str]:
    """Return the parts of edgepose that a file imports."""
    names = (name.split(".") for name in imports(file))
    found = {name[1] for name in names if name[0] == "edgepose" and len(name) > 1}
    return found - {"__version__"}


def libraries(file: Path) -> set[str]:
    """Return the libraries beyond Python's own that a file imports."""
    return {part(name) for name in imports(file)} - set(sys.stdlib_module_names) - {"edgepose"}


@pytest.mark.parametrize("file", FILES, ids=module)
def test_every_module_has_its_place(file: Path) -> None:
    """A new file says whether it is a noun, a stage or wiring."""
    places = [name for name in (NOUNS, STAGES, WIRING) if part(module(file)) in name]

    assert len(places) == 1, (
        f"edgepose/{module(file)} is in {len(places)} lists; put its name into NOUNS, STAGES or "
        "WIRING at the top of tests/test_imports.py, and into ARCHITECTURE.md"
    )


@pytest.mark.parametrize("file", [f for f in FILES if part(module(f)) in NOUNS], ids=module)
def test_nouns_import_nouns(file: Path) -> None:
    """A noun can be imported anywhere: no hardware, no network, no thread behind it."""
    assert own(file) <= NOUNS
    assert libraries(file) <= NOUN_LIBRARIES
    assert not {"threading", "subprocess", "asyncio"} & {part(name) for name in imports(file)}


@pytest.mark.parametrize("file", [f for f in FILES if part(module(f)) in STAGES], ids=module)
def test_stages_import_nouns_and_their_own_package(file: Path) -> None:
    """The pipeline hands results on; a stage knows no other."""
    assert own(file) - {part(module(file))} <= NOUNS


@pytest.mark.parametrize("group", ONE_FILE, ids=min)
def test_a_library_that_may_be_missing_is_imported_in_one_file(group: set[str]) -> None:
    """Everything else runs where it is not installed."""
    users = [module(file) for file in FILES if libraries(file) & group]

    assert len(users) <= 1, f"{', '.join(sorted(group))}: imported in {' and '.join(users)}"


def test_opencv_stays_where_pictures_are() -> None:
    """What resizes, reads or draws may import cv2; nothing else."""
    users = [module(file) for file in FILES if "cv2" in libraries(file)]

    assert [name for name in users if not name.startswith(PICTURES)] == []


def test_the_test_sees_what_is_imported(tmp_path: Path) -> None:
    """Imports within functions, of several names, and of modules from packages are found."""
    file = tmp_path / "file.py"
    file.write_text(
        "import cv2, os.path\nfrom edgepose import zones, __version__\n"
        "def f():\n    from edgepose.sinks.mqtt import MqttSink\n    import paho.mqtt.client\n"
    )

    assert own(file) == {"zones", "sinks"}
    assert libraries(file) == {"cv2", "paho"}
