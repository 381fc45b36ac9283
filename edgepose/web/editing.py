"""Returns the configuration to the page and writes changes of it to the file."""

import hashlib
import os
import re
import stat
import tomllib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec
from msgspec import UNSET, Struct, UnsetType

from edgepose.config import loading, schema, toml
from edgepose.config.error_messages import Problem
from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.config.toml_edit import Text
from edgepose.errors import ConfigError, in_words
from edgepose.system import storage
from edgepose.urls import redact

BACKUP: Final = ".bak"
MAX_CORNERS: Final = 200  # per zone or mask drawn on the page; the file may have more
MAX_SHAPES: Final = 100  # zones, masks, or lines, per camera
PLACES: Final = {"zones": ("zone", "polygon"), "lines": ("line", "points")}
"""From lists of `CameraChange` to their tables in the file, and to the key of their corners."""

UNSPOKEN: Final = {"kind": "area", "name": "", "sides": ["left", "right"]}
"""Defaults that are not written for a new zone or line."""

MARK: Final = "\ufeff"  # byte order mark, written by editors on Windows


class PoseChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to ``[pose]``."""

    min_pose_score: Any = UNSET
    min_keypoint_score: Any = UNSET


class CameraChange(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to a camera. Values are validated like those of the file."""

    rotate: Any = UNSET
    mirror: Any = UNSET
    roi: Any = UNSET
    masks: Any = UNSET
    name: Any = UNSET
    zones: tuple[dict[str, Any], ...] | UnsetType = UNSET
    """All zones of the camera; zones missing here are removed."""

    lines: tuple[dict[str, Any], ...] | UnsetType = UNSET
    """All lines of the camera; lines missing here are removed."""

    floor: dict[str, Any] | UnsetType = UNSET
    """Keys of the floor to change; without points it is removed from the file."""


class ConfigChanges(Struct, frozen=True, forbid_unknown_fields=True):
    """Changes to the configuration. Omitted keys are unchanged."""

    pose: PoseChange = PoseChange()
    cameras: dict[str, CameraChange] = {}


class InvalidChanges(Exception):  # noqa: N818  # a response, not a program error
    """The changes would make the configuration invalid; lists the problems by location."""

    def __init__(self, problems: list[dict[str, str]]) -> None:
        super().__init__("; ".join(problem["text"] for problem in problems))
        self.problems = problems


class RevisionConflict(Exception):  # noqa: N818
    """The file has changed since the page read it."""

    def __init__(self, revision: str) -> None:
        super().__init__("the file was changed meanwhile")
        self.revision = revision


class ReadOnlyConfig(Exception):  # noqa: N818
    """The configuration cannot be saved, with the reason."""


class Editor:
    """Reads the configuration for pages and writes their changes to its file.

    Parameters
    ----------
    origin : bytes
        An `Origin` as JSON.
    """

    def __init__(self, origin: bytes) -> None:
        self._origin = msgspec.json.decode(origin, type=Origin)
        self._path = self._origin.path
        self._good = Config()

    def look(self) -> dict[str, Any]:
        """Return the configuration for the page; if the file is invalid, its last valid content."""
        content, why_not = self._read_file(), self._read_only_reason()
        try:
            self._good = self._origin.read()
        except ConfigError as error:
            why_not = why_not or redact(str(error))
        pose = self._good.pose
        return {
            "revision": revision(content),
            "editable": not why_not,
            "why_not": why_not or None,
            "pose": {
                "min_pose_score": pose.least(),
                "min_keypoint_score": pose.min_keypoint_score,
            },
            "cameras": [_camera_data(camera) for camera in self._good.cameras],
        }

    def revision(self) -> str:
        """Return the revision of the file's current content."""
        return revision(self._read_file())

    def save(self, changes: ConfigChanges, seen: str) -> str:
        """Write changes to the file if its revision is still `seen`; return the new revision.

        Raises
        ------
        ReadOnlyConfig, RevisionConflict, InvalidChanges
            When nothing was written.
        """
        why_not = self._read_only_reason()
        if why_not:
            raise ReadOnlyConfig(why_not)
        content = self._read_file()
        if revision(content) != seen:
            raise RevisionConflict(revision(content))
        new = changed(content, changes)
        if new != content:
            self._write_file(content, new)
        return revision(new)

    def _write_file(self, old: bytes, new: bytes) -> None:
        """Replace the file atomically; keep the old one as a backup in the same folder."""
        path = self._path.resolve()  # to replace the target of a link, not the link
        found = path.stat()
        kept: dict[str, Any] = {
            "mode": stat.S_IMODE(found.st_mode),
            "owner": (found.st_uid, found.st_gid),
        }
        try:
            storage.write(path.with_name(path.name + BACKUP), old, **kept)
            storage.write(path, new, **kept)
        except OSError as error:
            msg = f"{path} cannot be written: {error.strerror}"
            raise ReadOnlyConfig(msg) from None

    def _read_file(self) -> bytes:
        try:
            return self._path.read_bytes()
        except OSError:
            return b""

    def _read_only_reason(self) -> str:
        """Return why the configuration cannot be saved; empty if it can."""
        path = self._path.resolve()
        if not path.is_file():
            return "there is no configuration file; start edgepose with -c FILE"
        if self._origin.source:
            return "the camera is given on the command line, not in the file"
        for needed in (path, path.parent):
            if not os.access(needed, os.W_OK):
                return f"{needed} cannot be written by the user that edgepose runs as"
        return ""


def revision(content: bytes) -> str:
    """Return the revision of a file's content."""
    return hashlib.sha256(content).hexdigest()


def changed(content: bytes, changes: ConfigChanges) -> bytes:
    """Return a file's content with the changes applied; all else is unchanged.

    Raises
    ------
    InvalidChanges
        When the configuration would not be valid.
    ReadOnlyConfig
        When the file is already invalid.
    """
    mark, windows = MARK if content.startswith(MARK.encode()) else "", b"\r\n" in content
    text, data = _parse_content(content)
    _check_sizes(data, changes)
    wanted = _wanted_data(data, changes)
    _, problems = loading.validate(wanted)
    if problems:
        raise InvalidChanges([_locate_problem(problem, wanted) for problem in problems])
    new = _rewritten_text(text, wanted, changes)
    return (mark + (new.replace("\n", "\r\n") if windows else new)).encode()


def _parse_content(content: bytes) -> tuple[str, dict[str, Any]]:
    """Return the text of a valid file, with normalised line ends, and its data.

    Raises
    ------
    ReadOnlyConfig
    """
    try:
        text = content.decode().removeprefix(MARK).replace("\r\n", "\n")
        data = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        msg = f"the file is not valid ({redact(in_words(error))}); correct it by hand first"
        raise ReadOnlyConfig(msg) from None
    config, problems = loading.validate(data)
    if config is None:
        msg = f"the file is not valid ({redact(problems[0].message)}); correct it by hand first"
        raise ReadOnlyConfig(msg)
    return text, data


def _check_sizes(data: Mapping[str, Any], changes: ConfigChanges) -> None:
    """Raise an error for too many shapes or corners to check and write quickly.

    Existing shapes of the file may have more corners.

    Raises
    ------
    InvalidChanges
    """
    cameras = {camera["id"]: camera for camera in data.get("camera", [])}
    problems = [
        {"where": f"camera.{id_}.{where}", "text": text}
        for id_, change in changes.cameras.items()
        for where, text in _oversized_values(cameras.get(id_, {}), change)
    ]
    if problems:
        raise InvalidChanges(problems)


def _oversized_values(camera: Mapping[str, Any], change: CameraChange) -> Iterator[tuple[str, str]]:
    masks = change.masks if isinstance(change.masks, list) else []
    shapes = [(f"masks.{i}", mask) for i, mask in enumerate(masks)]
    kept = list(camera.get("masks", []))
    if len(masks) > MAX_SHAPES:
        yield "masks", f"expected at most {MAX_SHAPES}, not {len(masks)}"
    for name, (table, corners) in PLACES.items():
        given = _listed_places(change, name)
        if len(given) > MAX_SHAPES:
            yield table, f"expected at most {MAX_SHAPES}, not {len(given)}"
        kept += [place.get(corners) for place in camera.get(table, [])]
        shapes += [
            (f"{table}.{it.get('id', i)}.{corners}", it.get(corners)) for i, it in enumerate(given)
        ]
    for where, points in shapes:
        if isinstance(points, list) and len(points) > MAX_CORNERS and points not in kept:
            yield where, f"expected at most {MAX_CORNERS} corners, not {len(points)}"


def _listed_places(change: CameraChange, name: str) -> tuple[dict[str, Any], ...]:
    given: tuple[dict[str, Any], ...] | UnsetType = getattr(change, name)
    return () if isinstance(given, UnsetType) else given


def _wanted_data(data: dict[str, Any], changes: ConfigChanges) -> dict[str, Any]:
    """Return the data of the file with the changes applied."""
    pose = _given_values(changes.pose)
    wanted = {**data, "pose": data.get("pose", {}) | pose} if pose else dict(data)
    cameras = list(data.get("camera", []))
    unknown = changes.cameras.keys() - {camera["id"] for camera in cameras}
    if unknown:
        raise InvalidChanges(
            [
                {"where": f"camera.{id_}", "text": "the file has no camera of this id"}
                for id_ in sorted(unknown)
            ]
        )
    for index, camera in enumerate(cameras):
        change = changes.cameras.get(camera["id"])
        if change is not None:
            cameras[index] = _camera_wanted(camera, change)
    return {**wanted, "camera": cameras} if cameras else wanted


def _camera_wanted(camera: Mapping[str, Any], change: CameraChange) -> dict[str, Any]:
    defaults = {item.name: item.default for item in msgspec.structs.fields(schema.Camera)}
    given = _given_values(change)
    wanted = dict(camera) | {
        key: value
        for key, value in given.items()
        if key not in {*PLACES, "floor"} and (key in camera or value != _as_list(defaults[key]))
    }
    for name, (table, _) in PLACES.items():
        if name in given:
            places = _places_wanted(camera.get(table, []), given[name], name)
            wanted[table] = [place for _, place in places]
    if "floor" in given:
        wanted["floor"] = _floor_wanted(camera.get("floor", {}), given["floor"])
        if not wanted["floor"].get("points"):
            del wanted["floor"]
    return wanted


def _floor_wanted(floor: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the floor with the changes; never adds the unused one of `size` and `metres`."""
    unused = "size" if given.get("metres") else "metres"
    return {**floor} | {key: value for key, value in given.items() if key in floor or key != unused}


def _places_wanted(
    known: list[dict[str, Any]], given: tuple[dict[str, Any], ...], name: str
) -> list[tuple[int | None, dict[str, Any]]]:
    """Return zones or lines in the file's order, new ones last, each with its index in the file.

    A renamed zone or line keeps its index: it is identified by its corners.
    """
    corners = PLACES[name][1]
    left, ids = list(given), {str(place.get("id")) for place in given}
    kept: list[tuple[int | None, dict[str, Any]]] = []
    for number, place in enumerate(known):
        same = next((new for new in left if new.get("id") == place["id"]), None)
        if same is None and place["id"] not in ids:
            same = next((new for new in left if new.get(corners) == place[corners]), None)
        if same is not None:
            left.remove(same)
            kept.append((number, place | _place_values(place, same)))
    return kept + [(None, _place_values({}, new)) for new in left]


def _place_values(place: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a zone or line; defaults only if the file contains them."""
    return {
        key: value
        for key, value in new.items()
        if key in place or key not in UNSPOKEN or value != UNSPOKEN[key]
    }


def _given_values(change: PoseChange | CameraChange) -> dict[str, Any]:
    values = {name: getattr(change, name) for name in change.__struct_fields__}
    return {name: value for name, value in values.items() if value is not UNSET}


def _as_list(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _locate_problem(problem: Problem, data: Mapping[str, Any]) -> dict[str, str]:
    """Return a problem located by the ids of camera and zone.

    The path with table indices is removed from the message.
    """
    names: list[str] = []
    here: Any = data
    for step in problem.path:
        here = here[step] if isinstance(step, int) or step in here else None
        named = isinstance(step, int) and isinstance(here, dict)
        names.append(str(here.get("id", step) if named else step))
        if here is None:
            break
    return {"where": ".".join(names), "text": redact(re.sub(r"^\S+( =|:) ", "", problem.message))}


def _rewritten_text(text: str, wanted: dict[str, Any], changes: ConfigChanges) -> str:
    """Return the text edited to contain the wanted data, otherwise unchanged."""
    try:
        new = _rewrite_text(text, wanted, changes)
        same = _plain_data(tomllib.loads(new)) == _plain_data(wanted)
    except ValueError:  # from this package, tomlkit or tomllib: unusual notation
        same = False
    if not same:  # never lose a setting
        msg = "the file is written in a way that the page cannot change; change it by hand"
        raise ReadOnlyConfig(msg)
    return new


def _rewrite_text(text: str, wanted: Mapping[str, Any], changes: ConfigChanges) -> str:
    new = Text(text)
    data = tomllib.loads(text)
    for key in _given_values(changes.pose):
        if data.get("pose", {}).get(key) != wanted["pose"][key]:
            new.put(("pose",), key, wanted["pose"][key])
    for index, camera in enumerate(data.get("camera", [])):
        change = changes.cameras.get(camera["id"])
        if change is not None:
            _rewrite_camera(new, ("camera", index), camera, change)
    return str(new)


def _rewrite_camera(
    text: Text, path: toml.Path, camera: Mapping[str, Any], change: CameraChange
) -> None:
    wanted = _camera_wanted(camera, change)
    tables = {table for table, _ in PLACES.values()}
    inline = {
        table for table in tables if table in camera and text.block((*path, table, 0)) is None
    }
    for key, value in wanted.items():
        if camera.get(key) != value and (key not in tables | {"floor"} or key in inline):
            text.put(path, key, value)
    for name, (table, _) in PLACES.items():
        if table not in inline and not isinstance(getattr(change, name), UnsetType):
            places = _places_wanted(camera.get(table, []), getattr(change, name), name)
            _rewrite_places(text, (*path, table), camera.get(table, []), places)
    if not isinstance(change.floor, UnsetType):
        _rewrite_floor(text, path, camera.get("floor"), wanted.get("floor"))


def _rewrite_places(
    text: Text,
    path: toml.Path,
    known: list[dict[str, Any]],
    wanted: list[tuple[int | None, dict[str, Any]]],
) -> None:
    blocks = [text.block((*path, number)) for number in range(len(known))]
    for number, place in wanted:
        block = None if number is None else blocks[number]
        if number is None or block is None:
            text.append(path[:-1], str(path[-1]), place)
            continue
        for key, value in place.items():
            if known[number].get(key) != value:
                block.put((key,), value)
    kept = {number for number, _ in wanted}
    for number, block in enumerate(blocks):
        if number not in kept and block is not None:
            text.remove(block)


def _rewrite_floor(
    text: Text, path: toml.Path, known: dict[str, Any] | None, wanted: dict[str, Any] | None
) -> None:
    block = text.block((*path, "floor"))
    if wanted is None:
        if block is not None:
            text.remove(block)
        elif known is not None:
            text.put(path, "floor", {})
    elif known is None:
        text.append(path, "floor", wanted, many=False)
    elif block is None:
        text.put(path, "floor", wanted)
    else:
        for key, value in wanted.items():
            if known.get(key) != value:
                block.put((key,), value)


def _plain_data(data: dict[str, Any]) -> dict[str, Any]:
    """Return data without empty lists of zones and lines and an empty floor, which mean none."""
    empty = {"zone", "line", "floor"}
    cameras = [
        {key: value for key, value in camera.items() if key not in empty or value}
        for camera in data.get("camera", [])
    ]
    return {**data, "camera": cameras}


def _camera_data(camera: schema.Camera) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(camera)
    names = ("id", "name", "rotate", "mirror", "roi", "masks", "floor")
    zone = ("id", "name", "polygon", "kind")
    zones = [{key: each[key] for key in zone} for each in shown["zone"]]
    kept = {name: shown[name] for name in names}
    return {**kept, "source": redact(camera.source), "zones": zones, "lines": shown["line"]}
