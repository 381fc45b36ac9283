"""Scores the events of a recording against labels."""

import tomllib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from statistics import median
from typing import Any, Final, NamedTuple

import msgspec

from edgepose.config.gesture_rules import BUILT_IN
from edgepose.errors import UsageError, in_words
from edgepose.mqtt.messages import EventMessage
from edgepose.people.events import TYPES
from edgepose.recording.frames import RecordedFrame
from edgepose.suggestions import unknown
from edgepose.timing import NS_PER_S, unix_ns

SECONDS_PER_DAY: Final = 86_400
PAUSE_S: Final = 10.0  # longer gaps between frames do not count as watched
TOLERANCE_S: Final = 1.0  # typical accuracy of manual labels


@dataclass(frozen=True, slots=True)
class Label:
    """An event that really happened, as labelled."""

    type: str
    start_s: float
    """Seconds since the recording's first frame."""

    end_s: float
    camera: str | None = None
    person: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    """Required values in the event's data: `zone`, `gesture` and so on."""


@dataclass(frozen=True, slots=True)
class DetectedEvent:
    """A detected event."""

    type: str
    at_s: float
    camera: str
    person: int | None = None
    data: Mapping[str, Any] = field(default_factory=dict)

    def tells(self, label: Label, tolerance_s: float) -> bool:
        """Return whether this event matches a label."""
        return (
            self.type == label.type
            and label.camera in {None, self.camera}
            and label.person in {None, self.person}
            and label.start_s - tolerance_s <= self.at_s <= label.end_s + tolerance_s
            and all(self.data.get(key) == value for key, value in label.data.items())
        )


@dataclass(frozen=True, slots=True)
class Labels:
    """All labels of a recording."""

    types: tuple[str, ...]
    """Labelled types of events; other types are not scored."""

    labels: tuple[Label, ...]
    tolerance_s: float = TOLERANCE_S


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """Score of one kind of event."""

    kind: str
    labelled: int
    found: int
    """Labels with a matching event."""

    missed: int
    false: int
    """Events without a label, or with one that another event matches."""

    precision: float | None
    """None without events."""

    recall: float | None
    """None without labels."""

    delay_s: float | None
    """Median time from a label's start to its event."""

    longest_delay_s: float | None
    false_per_day: float | None
    """None if the watched time is zero."""


def kind(type_: str, data: Mapping[str, Any]) -> str:
    """Return the kind of an event: its type, with the name for gestures."""
    return f"{type_}:{data['gesture']}" if type_ == "gesture" and "gesture" in data else type_


class Comparison(NamedTuple):
    """Labels and events of one kind, with their matches."""

    kind: str
    labels: Sequence[Label]
    events: Sequence[DetectedEvent]
    """Events in the order of time."""

    pairs: Mapping[int, int]
    """Index of a label to the index of its event."""


def compare(labels: Labels, events: Sequence[DetectedEvent]) -> list[Comparison]:
    """Match events with labels one to one, for each kind of event.

    Parameters
    ----------
    labels : Labels
        Labelled events.
    events : sequence of DetectedEvent
        Detected events; types that are not in `labels.types` are ignored.
    """
    said = [event for event in events if event.type in labels.types]
    kinds = {kind(label.type, label.data) for label in labels.labels}
    kinds |= {kind(event.type, event.data) for event in said}
    kinds |= {type_ for type_ in labels.types if not any(_is_named(k, type_) for k in kinds)}
    return [
        _compare_recording(
            name,
            [label for label in labels.labels if kind(label.type, label.data) == name],
            [event for event in said if kind(event.type, event.data) == name],
            labels.tolerance_s,
        )
        for name in sorted(kinds)
    ]


def _is_named(name: str, type_: str) -> bool:
    return name.partition(":")[0] == type_


def _compare_recording(
    name: str, labels: Sequence[Label], events: Sequence[DetectedEvent], tolerance_s: float
) -> Comparison:
    events = sorted(events, key=lambda event: event.at_s)
    return Comparison(name, labels, events, match(labels, events, tolerance_s))


def score(labels: Labels, events: Sequence[DetectedEvent], watched_s: float) -> list[Score]:
    """Return the score of each kind; `watched_s` is the watched time of all cameras together."""
    return [_score_events(compared, watched_s) for compared in compare(labels, events)]


def _score_events(compared: Comparison, watched_s: float) -> Score:
    name, labels, events, pairs = compared
    delays_s = sorted(events[e].at_s - labels[n].start_s for n, e in pairs.items())
    false = len(events) - len(pairs)
    return Score(
        kind=name,
        labelled=len(labels),
        found=len(pairs),
        missed=len(labels) - len(pairs),
        false=false,
        precision=len(pairs) / len(events) if events else None,
        recall=len(pairs) / len(labels) if labels else None,
        delay_s=round(median(delays_s), 3) if delays_s else None,
        longest_delay_s=round(delays_s[-1], 3) if delays_s else None,
        false_per_day=false * SECONDS_PER_DAY / watched_s if watched_s > 0 else None,
    )


def match(
    labels: Sequence[Label], events: Sequence[DetectedEvent], tolerance_s: float
) -> dict[int, int]:
    """Return the largest one-to-one matching of labels and events.

    Returns
    -------
    dict
        Index of a label to the index of its event.

    Notes
    -----
    Maximum bipartite matching by augmenting paths [1]_. Events are tried in their
    order, so a label gets the earliest event that keeps the matching maximal.

    References
    ----------
    .. [1] H. W. Kuhn, "The Hungarian method for the assignment problem", 1955.
    """
    taken: dict[int, int] = {}

    def give(label: int, tried: set[int]) -> bool:
        for number, event in enumerate(events):
            if number in tried or not event.tells(labels[label], tolerance_s):
                continue
            tried.add(number)
            if number not in taken or give(taken[number], tried):
                taken[number] = label
                return True
        return False

    for label in sorted(range(len(labels)), key=lambda n: (labels[n].start_s, labels[n].end_s)):
        give(label, set())
    return {label: number for number, label in taken.items()}


def watched_s(frames: Iterable[RecordedFrame]) -> float:
    """Return the watched time, summed over all cameras, without gaps above `PAUSE_S`."""
    last_ns: dict[tuple[str, str], int] = {}
    total_ns = 0
    for frame in frames:
        key = frame.device, frame.camera
        step_ns = frame.at_ns - last_ns.get(key, frame.at_ns)
        total_ns += step_ns if step_ns <= PAUSE_S * NS_PER_S else 0
        last_ns[key] = frame.at_ns
    return total_ns / NS_PER_S


def happened(event: EventMessage, began_ns: int) -> DetectedEvent:
    """Return the event of a message, with its time in seconds since `began_ns` (wall time)."""
    at_s = (unix_ns(event.at) - began_ns) / NS_PER_S
    return DetectedEvent(event.type, at_s, event.camera, event.person, event.data)


def read_labels(path: Path, began_ns: int, gestures: Collection[str] = tuple(BUILT_IN)) -> Labels:
    """Read labels from TOML, or from JSON Lines with one label per line.

    Parameters
    ----------
    path : Path
        The file; its name ends in ``.toml`` or ``.jsonl``.
    began_ns : int
        Wall time of the recording's first frame, for labels with wall times.
    gestures : collection of str
        Names of known gestures.

    Raises
    ------
    UsageError
        If the file or a label is invalid. The message has the label, the found and the
        expected value.
    """
    try:
        text = path.read_text(encoding="utf-8")
        table = _from_lines(text) if path.suffix == ".jsonl" else tomllib.loads(text)
    except (OSError, tomllib.TOMLDecodeError, msgspec.DecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {in_words(error)}; expected labels in TOML, or in JSON Lines named .jsonl"
        raise UsageError(msg) from None
    _check_keys(table, {"types", "tolerance_s", "label"}, str(path))
    rows = table.get("label", [])
    if not isinstance(rows, list):
        msg = f"{path}: label is no list; expected [[label]] tables"
        raise UsageError(msg)
    labels = tuple(
        _parse_label(row, f"{path}: label {n}", began_ns, gestures) for n, row in enumerate(rows, 1)
    )
    types = table.get("types", sorted({label.type for label in labels}))
    if not types or not isinstance(types, list) or not all(isinstance(t, str) for t in types):
        msg = f'{path}: no types and no labels; expected types = ["fall_confirmed"] or labels'
        raise UsageError(msg)
    for type_ in types:
        _check_name(type_, TYPES, "type of event", str(path))
    strange = sorted({label.type for label in labels} - set(types))
    if strange:
        msg = f"{path}: labels of type {', '.join(strange)}; expected those in types only"
        raise UsageError(msg)
    tolerance_s = _parse_number(table.get("tolerance_s", TOLERANCE_S), f"{path}: tolerance_s")
    return Labels(tuple(types), labels, tolerance_s)


def _from_lines(text: str) -> dict[str, Any]:
    rows = [msgspec.json.decode(line) for line in text.splitlines() if line.strip()]
    head = [row for row in rows if isinstance(row, dict) and "type" not in row]
    told = {key: value for row in head for key, value in row.items()}
    return {**told, "label": [row for row in rows if row not in head]}


def _check_keys(table: Mapping[str, Any], known: set[str], where: str) -> None:
    strange = sorted(set(table) - known)
    if strange:
        msg = f"{where}: unknown name {strange[0]!r}; known: {', '.join(sorted(known))}"
        raise UsageError(msg)


def _check_name(name: str, known: Collection[str], what: str, where: str) -> None:
    if name not in known:
        raise UsageError(f"{where}: {unknown(what, name, known)}")


def _parse_label(row: Any, where: str, began_ns: int, gestures: Collection[str]) -> Label:
    if not isinstance(row, dict) or not isinstance(row.get("type"), str) or "start" not in row:
        msg = f"{where}: expected at least a type and a start"
        raise UsageError(msg)
    _check_name(row["type"], TYPES, "type of event", where)
    _check_keys(
        row, {"type", "start", "end", "camera", "person", "zone", "line", "gesture", "data"}, where
    )
    start_s = _parse_moment(row["start"], f"{where}: start", began_ns)
    end_s = _parse_moment(row["end"], f"{where}: end", began_ns) if "end" in row else start_s
    if end_s < start_s:
        msg = f"{where}: end is before start"
        raise UsageError(msg)
    data = {key: row[key] for key in ("zone", "line", "gesture") if key in row} | row.get(
        "data", {}
    )
    if row["type"] == "gesture" and "gesture" not in data:
        msg = f'{where}: which gesture? expected such as gesture = "wave"'
        raise UsageError(msg)
    if "gesture" in data:
        _check_name(str(data["gesture"]), gestures, "gesture", where)
    return Label(row["type"], start_s, end_s, row.get("camera"), row.get("person"), data)


def _parse_moment(value: Any, where: str, began_ns: int) -> float:
    """Return a time in seconds since the start of the recording, from seconds or a wall time."""
    if isinstance(value, datetime | date):
        value = value.isoformat()
    if not isinstance(value, str):
        return _parse_number(value, where)
    try:
        return (unix_ns(value) - began_ns) / NS_PER_S
    except ValueError:
        msg = f"{where} = {value!r}: expected seconds, or a time such as 2026-11-22T20:05:01Z"
        raise UsageError(msg) from None


def _parse_number(value: Any, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
        msg = f"{where} = {value!r}: expected seconds from 0 up"
        raise UsageError(msg)
    return float(value)


def _format_cell(value: float | None, decimals: int) -> str:
    return "-" if value is None else f"{value:.{decimals}f}"


COLUMNS: Final[Mapping[str, Callable[[Score], str]]] = {
    "event": lambda one: one.kind,
    "labels": lambda one: str(one.labelled),
    "found": lambda one: str(one.found),
    "missed": lambda one: str(one.missed),
    "false": lambda one: str(one.false),
    "precision": lambda one: _format_cell(one.precision, 3),
    "recall": lambda one: _format_cell(one.recall, 3),
    "delay s": lambda one: _format_cell(one.delay_s, 2),
    "longest s": lambda one: _format_cell(one.longest_delay_s, 2),
    "false/day": lambda one: _format_cell(one.false_per_day, 2),
}


def table(scores: Sequence[Score], watched: float) -> str:
    """Return the scores as a text table."""
    head = tuple(COLUMNS)
    rows = [tuple(write(one) for write in COLUMNS.values()) for one in scores]
    widths = [max(len(row[n]) for row in (head, *rows)) for n in range(len(head))]
    lines = [
        "  ".join(
            cell.ljust(width) if n == 0 else cell.rjust(width)
            for n, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in (head, *rows)
    ]
    return "\n".join([*lines, "", f"watched {watched:.0f} s, {watched / 3600:.2f} hours"])
