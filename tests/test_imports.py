"""Imports point downwards: a package imports only itself and lower layers."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).parent.parent / "edgepose"

FLOORS: Final = (
    {"_version", "errors", "extras", "registry", "suggestions", "timing", "types", "urls"}
    | {"skeleton", "geometry", "drawing"},
    {"system", "config", "models"},
    {"pose", "people"},
    {"mqtt"},
    {"camera", "recording", "web"},
    {"doctor"},
    {"service"},
    {"measure"},
    {"commands", "cli", "__init__", "__main__"} | {"messages", "sources", "decoders"},
)
"""Packages and shared modules, lowest first. Those of one floor do not import each other.

`messages`, `sources` and `decoders` are the deprecated names of an earlier layout.
"""

SHARED: Final = FLOORS[0]
"""Modules of the lowest layer may import each other without cycles."""

ENTRIES: Final = {"__main__": {"cli"}}
"""Siblings that an entry point of the top layer may import."""

APART: Final = {"camera": {"mqtt", "web"}, "mqtt": {"camera", "pose"}}
"""Lower packages that a package must not import."""

PURE: Final = {"msgspec", "numpy", "cv2", "tflite", "tomlkit"}
"""Libraries that the shared modules, `config` and `models` may import: no runtime, no network."""

ONE_FILE: Final = (
    {"picamera2", "libcamera"},
    {"ai_edge_litert", "tflite_runtime", "tensorflow"},
    {"tflite"},
    {"paho"},
)
"""Libraries of a group are imported in the same one file, so that it can be left unloaded."""

PICTURES: Final = (
    "camera.motion",
    "camera.sources.",
    "camera.view",
    "commands.film_writer",
    "commands.output",
    "drawing",
    "recording.clips",
    "recording.webp",
    "pose.preprocess",
)
"""Modules that resize, draw, read or write pictures: only these may import cv2."""

FILES: Final = sorted(ROOT.rglob("*.py"))


def module(file: Path) -> str:
    """Return a file's module name below `edgepose`: ``people.events.falls``."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def part(name: str) -> str:
    """Return the top-level package or module of a name."""
    return name.partition(".")[0]


def imports(file: Path) -> Iterator[str]:
    """Yield the full names imported by a file, also in functions and for type checkers."""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from (alias.name for alias in names)
            case ast.ImportFrom(module=str() as origin, names=names, level=0):
                yield from (f"{origin}.{alias.name}" for alias in names)
            case ast.ImportFrom():
                pytest.fail(f"{file}: a relative import; write the full name")


def own(file: Path) -> set[str]:
    """Return edgepose's packages and shared modules that a file imports."""
    names = (name.split(".") for name in imports(file))
    return {name[1] for name in names if name[0] == "edgepose" and len(name) > 1}


def modules(file: Path) -> set[str]:
    """Return edgepose's modules that a file imports, by their names below `edgepose`."""
    known = {module(each).removesuffix(".__init__") for each in FILES}
    names = {name.partition(".")[2] for name in imports(file) if part(name) == "edgepose"}
    return {name if name in known else name.rpartition(".")[0] for name in names} & known


def libraries(file: Path) -> set[str]:
    """Return the libraries outside of the standard library that a file imports."""
    return {part(name) for name in imports(file)} - set(sys.stdlib_module_names) - {"edgepose"}


def floor(name: str) -> int:
    """Return the layer number of a package or shared module."""
    return next(number for number, names in enumerate(FLOORS) if name in names)


@pytest.mark.parametrize("file", FILES, ids=module)
def test_every_module_has_its_floor(file: Path) -> None:
    """Every package is in exactly one layer."""
    places = [number for number, names in enumerate(FLOORS) if part(module(file)) in names]

    assert len(places) == 1, f"edgepose/{module(file)}: name its package in FLOORS, once"


@pytest.mark.parametrize("file", FILES, ids=module)
def test_imports_point_downwards(file: Path) -> None:
    """A package imports itself and lower layers, but no higher layer or sibling."""
    name = part(module(file))
    below = {other for other in own(file) if floor(other) < floor(name)}
    allowed = below | {name} | ENTRIES.get(name, set()) | (SHARED if name in SHARED else set())

    assert own(file) <= allowed - APART.get(name, set())


def test_no_module_imports_itself_by_way_of_others() -> None:
    """There are no import cycles, including between modules of a package."""
    graph = {module(file).removesuffix(".__init__"): modules(file) for file in FILES}
    while leaves := {name for name, needs in graph.items() if not needs & graph.keys() - {name}}:
        graph = {name: needs for name, needs in graph.items() if name not in leaves}

    assert sorted(graph) == []


@pytest.mark.parametrize(
    "file",
    [file for file in FILES if part(module(file)) in SHARED | {"config", "models"}],
    ids=module,
)
def test_shared_modules_need_no_hardware_and_no_network(file: Path) -> None:
    """Shared modules use only light libraries, and no threads or processes."""
    if module(file) == "models.download":
        return

    assert libraries(file) <= PURE
    assert not {"threading", "subprocess", "asyncio"} & {part(name) for name in imports(file)}


@pytest.mark.parametrize("group", ONE_FILE, ids=min)
def test_a_library_that_may_be_missing_is_imported_in_one_file(group: set[str]) -> None:
    """Each optional library is imported in one file only."""
    users = [module(file) for file in FILES if libraries(file) & group]

    assert len(users) <= 1, f"{', '.join(sorted(group))}: imported in {' and '.join(users)}"


def test_opencv_stays_where_pictures_are() -> None:
    """Only modules for pictures import cv2."""
    users = [module(file) for file in FILES if "cv2" in libraries(file)]

    assert [name for name in users if not name.startswith(PICTURES)] == []


def test_the_test_sees_what_is_imported(tmp_path: Path) -> None:
    """Imports in functions, of several names, and of modules are found."""
    file = tmp_path / "file.py"
    file.write_text(
        "import cv2, os.path\nfrom edgepose import errors, drawing\n"
        "def f():\n    from edgepose.mqtt.client import MqttClient\n    import paho.mqtt.client\n"
    )

    assert own(file) == {"errors", "drawing", "mqtt"}
    assert modules(file) == {"errors", "drawing", "mqtt.client"}
    assert libraries(file) == {"cv2", "paho"}
