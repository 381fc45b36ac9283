"""The catalogue of models: bundled and downloadable files, presets, and how names are resolved."""

import os
import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final, Literal, NamedTuple

import msgspec

from edgepose.errors import ModelError
from edgepose.suggestions import did_you_mean
from edgepose.types import Size
from edgepose.urls import user_path

DATA: Final = Path(__file__).parents[1] / "data"
DEFAULT: Final = "movenet-multipose"
REFINER: Final = "movenet-thunder-int8"
"""Default refiner of `policy = "refine"`."""


class Preset(NamedTuple):
    """A named combination of models."""

    models: str
    """``DETECTOR|DETECTOR+REFINER``."""

    description: str


PRESETS: Final = {
    "refined-light": Preset(
        "movenet-multipose+movenet-thunder-int8",
        "up to six people, each refined: large and lying ones",
    ),
    "refined": Preset(
        "movenet-multipose|posenet-481x641+movenet-thunder-int8",
        "two detectors, for large and small people, each refined",
    ),
    "best": Preset(
        "movenet-multipose|posenet-481x641+movenet-thunder",
        "the same with 16 bit weights for the second look: the most accurate",
    ),
}
"""Presets by name; docs/accuracy.md has their accuracies."""

REFINED_SCORE: Final = 0.2
"""Minimum score of a refined person, which is the mean score of all joints."""

SYSTEM: Final = Path("/var/lib/edgepose")
"""State directory of the service; always searched for fetched models."""

TPU_MARK: Final = "_edgetpu"
"""Suffix that the Edge TPU compiler appends to the name of its input file."""

_SIZED: Final = re.compile(r"(?P<name>.+)@(?P<height>\d+)x(?P<width>\d+)")


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One model of the catalogue: a table of `data/models.toml`."""

    file: str
    sha256: str
    bytes: int
    family: str
    people: Literal["one", "many"]
    licence: str
    origin: str
    description: str
    min_pose_score: float = 0.25
    """Minimum score of a person, on the model's own scale."""

    input: str = ""
    """Input size to set as ``HEIGHTxWIDTH``, for files that take any; empty for the file's own."""

    url: str = ""
    """Download URL; empty for bundled models."""

    cpu: str = ""
    """For Edge TPU models, the name of the corresponding CPU model."""

    @property
    def path(self) -> Path | None:
        """Path of the file; None if it has not been fetched."""
        if not self.url:
            return Path(str(DATA / self.file))
        found = (folder / self.file for folder in folders())
        return next((path for path in found if _is_complete(path, self.bytes)), None)


@dataclass(frozen=True, slots=True)
class Choice:
    """A model's file and input size, resolved from its name."""

    name: str
    path: Path
    size: Size | None
    """Input size to set; None for the file's own size."""


@dataclass(frozen=True, slots=True)
class ModelSet:
    """One model, or detectors and a refiner of their detections."""

    name: str
    detectors: tuple[Choice, ...]
    refiner: Choice | None = None

    @property
    def members(self) -> tuple[Choice, ...]:
        """All models, the refiner last."""
        return self.detectors if self.refiner is None else (*self.detectors, self.refiner)

    def with_refiner(self) -> "ModelSet":
        """Return the set with a refiner; adds `REFINER` if it has none."""
        if self.refiner is not None:
            return self
        return ModelSet(f"{self.name}+{REFINER}", self.detectors, choose(REFINER))


@cache
def entries() -> dict[str, Entry]:
    """Return the bundled and downloadable models, by name."""
    text = (DATA / "models.toml").read_text("utf-8")
    return msgspec.convert(tomllib.loads(text), dict[str, Entry])


def bundled() -> dict[str, Entry]:
    """Return the bundled models, by name."""
    return {name: entry for name, entry in entries().items() if not entry.url}


def choose(name: str) -> Choice:
    """Return a model by catalogue name or path, with an optional suffix ``@HEIGHTxWIDTH``.

    Raises
    ------
    ModelError
        If there is neither such a name nor such a file.
    """
    if name == "auto":
        name = DEFAULT
    size = None
    plain = name
    if sized := _SIZED.fullmatch(name):
        plain, size = sized["name"], Size(int(sized["width"]), int(sized["height"]))
    if entry := entries().get(plain):
        return Choice(name, _fetch_entry(plain, entry), size or _parse_size(entry.input))
    path = user_path(plain)
    try:
        is_file = path.is_file()
    except OSError as error:  # a name that is too long, or a folder that is not accessible
        msg = f"model {path}: cannot be read: {error.strerror}"
        raise ModelError(msg) from error
    if is_file:
        return Choice(path.name, path, size)
    raise ModelError(_unknown_model_message(plain))


def model_set(name: str) -> ModelSet:
    """Return the models of a model name, a preset, or ``DETECTOR|DETECTOR+REFINER``.

    Raises
    ------
    ModelError
        If there is neither such a name nor such a file, or a part is missing.
    """
    meant = PRESETS[name].models if name in PRESETS else name
    if not {"|", "+"} & set(meant) or _is_file(user_path(meant)):
        choice = choose(meant)
        return ModelSet(choice.name, (choice,))
    detectors, plus, refiner = meant.rpartition("+")
    if not (plus and detectors and refiner):
        msg = f'model "{name}": expected DETECTOR+REFINER, or several detectors with | between them'
        raise ModelError(msg)
    return ModelSet(name, tuple(map(choose, detectors.split("|"))), choose(refiner))


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def min_pose_score(name: str) -> float | None:
    """Return the minimum score of a person for a model; None if not in the catalogue."""
    plain = DEFAULT if name == "auto" else name.partition("@")[0]
    if name in PRESETS or "+" in name:
        return REFINED_SCORE
    entry = entries().get(plain)
    return entry.min_pose_score if entry else None


def read_file(path: Path) -> bytes:
    """Return the content of a model file.

    Raises
    ------
    ModelError
        If it cannot be read. The message has the reason.
    """
    try:
        return path.read_bytes()
    except OSError as error:
        msg = f"model {path}: cannot be read: {error.strerror}"
        raise ModelError(msg) from error


def cpu_model(name: str) -> str | None:
    """Return the CPU model that corresponds to an Edge TPU model; None if there is none.

    Pairs come from the catalogue. For other files it is the file in the same folder whose
    name lacks ``_edgetpu``: the input of the Edge TPU compiler.
    """
    if entry := entries().get(name):
        other = entries().get(entry.cpu)
        return entry.cpu if other and other.path else None
    path = user_path(name)
    beside = path.with_name(path.name.replace(TPU_MARK, ""))
    return str(beside) if beside != path and _is_file(beside) else None


def for_edgetpu(name: str) -> str | None:
    """Return the Edge TPU model that corresponds to a CPU model; None if there is none."""
    return next((other for other, entry in entries().items() if entry.cpu == name), None)


def folders() -> list[Path]:
    """Return the folders that are searched for fetched models; downloads go to the first."""
    given = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]
    xdg = os.environ.get("XDG_STATE_HOME", "")
    found = [Path(given)] if given else []
    if os.geteuid() == 0:  # models fetched as root are for the service
        found.append(SYSTEM)
    if xdg.startswith("/"):
        found.append(Path(xdg) / "edgepose")
    elif home := os.environ.get("HOME", ""):
        found.append(Path(home) / ".local/state/edgepose")
    return [folder / "models" for folder in dict.fromkeys([*found, SYSTEM])]


def _is_complete(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def _fetch_entry(name: str, entry: Entry) -> Path:
    path = entry.path
    if path is None:
        msg = f"model {name}: is not on this machine; fetch it: edgepose models fetch {name}"
        raise ModelError(msg)
    return path


def _parse_size(text: str) -> Size | None:
    if not text:
        return None
    height, _, width = text.partition("x")
    return Size(int(width), int(height))


def _unknown_model_message(name: str) -> str:
    names = [*entries(), *PRESETS]
    known = ", ".join(names)
    if name.endswith(".tflite") or "/" in name:
        return f"model {name}: no such file; expected a .tflite file or one of: {known}"
    hint = did_you_mean(name, names)
    return f'unknown model "{name}";{hint} known: {known}, or the path of a .tflite file'
