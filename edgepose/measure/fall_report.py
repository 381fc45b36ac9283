"""Scores the fall events of a folder of recordings against labels."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any, Final, Literal

import msgspec

from edgepose.config.schema import Camera, Config
from edgepose.errors import UsageError, in_words
from edgepose.measure import event_scores
from edgepose.people.events.falls import Evidence, FallDetector
from edgepose.people.zones import Zone
from edgepose.recording import frames, reader, replay
from edgepose.timing import NS_PER_S
from edgepose.types import Event

RECORDINGS: Final = (".jsonl", ".jsonl.gz", ".mcap")
LABELS: Final = ".labels.toml"
EARLY_S: Final = 0.5  # an event may precede its label, since labels are made by eye
LATE_S: Final = 8.0  # maximum time from the start of a fall to its suspicion
BEFORE_S: Final = 1.5  # time before a fall within which the person must be detected

Stage = Literal[
    "not found before the fall",
    "not found after the fall",
    "descent not recognised",
    "posture speaks against",
    "went down slowly",
    "behind another person",
    "evidence too short",
    "not confirmed",
]
"""Stage at which the detection of a missed fall failed."""

FallEvent = Literal["fall_suspected", "fall_confirmed"]


@dataclass(frozen=True, slots=True)
class FallLabel:
    """A labelled fall; times in seconds since the first frame of the recording."""

    start_s: float
    up_s: float | None = None
    """Time when the person is up again; None if the person stays down."""

    def is_confirmable(self, confirm_s: float) -> bool:
        """Whether the person stays down long enough for a confirmation."""
        return self.up_s is None or self.up_s - self.start_s > confirm_s


@dataclass(frozen=True, slots=True)
class RecordingLabels:
    """Labels of one recording."""

    group: str
    falls: tuple[FallLabel, ...]


class FallResult(msgspec.Struct, frozen=True, kw_only=True):
    """One labelled fall and its events; times in seconds."""

    recording: str
    start_s: float
    suspected_s: float | None
    confirmed_s: float | None
    confirmable: bool
    missed_at: Stage | None
    """None if the fall was found."""


class FalseAlarm(msgspec.Struct, frozen=True, kw_only=True):
    """A fall event without a fall."""

    type: FallEvent
    at_s: float


class RecordingResult(msgspec.Struct, frozen=True, kw_only=True):
    """The falls and false alarms of one recording."""

    recording: str
    group: str
    watched_s: float
    falls: list[FallResult]
    false_suspected: int
    false_confirmed: int
    repeated: int
    """Further suspicions and confirmations of a fall that has one already."""

    false_alarms: list[FalseAlarm]


def find_recordings(folder: Path) -> list[tuple[Path, Path]]:
    """Return the recordings below a folder that have a label file, with these files.

    The labels of ``kitchen.jsonl.gz`` are in ``kitchen.labels.toml``.

    Raises
    ------
    UsageError
        If there is none.
    """
    pairs = [
        (file, labels)
        for file in sorted(folder.rglob("*"))
        if (labels := _labels_of(file)) is not None and labels.is_file()
    ]
    if not pairs:
        msg = f"{folder}: no recording with labels; expected such as hall.jsonl and hall{LABELS}"
        raise UsageError(msg)
    return pairs


def _labels_of(file: Path) -> Path | None:
    for ending in sorted(RECORDINGS, key=len, reverse=True):
        if file.name.endswith(ending):
            return file.with_name(file.name.removesuffix(ending) + LABELS)
    return None


def read_labels(path: Path) -> RecordingLabels:
    """Read the labels of one recording.

    Raises
    ------
    UsageError
        If the file is invalid. The message has the file and the expected content.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        msg = f"{path}: {in_words(error)}; expected TOML"
        raise UsageError(msg) from None
    rows = table.pop("fall", [])
    group = table.pop("group", path.parent.name)
    if table or not isinstance(group, str) or not isinstance(rows, list):
        msg = f'{path}: expected group = "..." and [[fall]] tables only'
        raise UsageError(msg)
    return RecordingLabels(
        group, tuple(_parse_fall(row, f"{path}: fall {n}") for n, row in _count_rows(rows))
    )


def _count_rows(rows: Sequence[Any]) -> Iterable[tuple[int, Any]]:
    return enumerate(rows, 1)


def _parse_fall(row: Any, where: str) -> FallLabel:
    known = isinstance(row, dict) and "start" in row and set(row) <= {"start", "up"}
    if not known or not all(_is_seconds(value) for value in row.values()):
        msg = f"{where}: expected start and, for a person who gets up, up; both in seconds"
        raise UsageError(msg)
    return FallLabel(float(row["start"]), float(row["up"]) if "up" in row else None)


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


# ------------------------------------------------------------------------------ scoring


@dataclass(slots=True)
class _Moment:
    """One frame of a recording."""

    at_s: float
    people: int
    evidence: list[Evidence]
    events: list[Event]


def score_recording(path: Path, labels: RecordingLabels, config: Config) -> RecordingResult:
    """Recompute the fall events of one recording and return their score against its labels."""
    recording = reader.open_recording(path)
    moments = list(_walk_frames(recording, config))
    times: dict[FallEvent, list[float]] = {
        "fall_suspected": _times_of(moments, "fall_suspected"),
        "fall_confirmed": _times_of(moments, "fall_confirmed"),
    }
    confirm_s = config.events.fall_confirm_s
    falls = []
    for label in labels.falls:
        first_s = _take_match(times["fall_suspected"], label.start_s, LATE_S)
        second_s = _take_match(times["fall_confirmed"], label.start_s, LATE_S + confirm_s)
        confirmable = label.is_confirmable(confirm_s)
        stage = None
        if first_s is None:
            stage = _missed_at(moments, label.start_s)
        elif second_s is None and confirmable:
            stage = "not confirmed"
        falls.append(
            FallResult(
                recording=path.name,
                start_s=label.start_s,
                suspected_s=first_s,
                confirmed_s=second_s,
                confirmable=confirmable,
                missed_at=stage,
            )
        )
    rest = sorted((at_s, kind) for kind, left in times.items() for at_s in left)
    false = [
        FalseAlarm(type=kind, at_s=at_s)
        for at_s, kind in rest
        if not _is_repeated(at_s, falls, LATE_S + confirm_s)
    ]
    return RecordingResult(
        recording=path.name,
        group=labels.group,
        watched_s=event_scores.watched_s(frames.frames(recording)),
        falls=falls,
        false_suspected=sum(alarm.type == "fall_suspected" for alarm in false),
        false_confirmed=sum(alarm.type == "fall_confirmed" for alarm in false),
        repeated=len(rest) - len(false),
        false_alarms=false,
    )


def _is_repeated(at_s: float, falls: Sequence[FallResult], within_s: float) -> bool:
    """Return whether an event follows a fall that was suspected before, within its time limit."""
    return any(
        fall.suspected_s is not None and fall.suspected_s < at_s <= fall.start_s + within_s
        for fall in falls
    )


def _walk_frames(recording: reader.Recording, config: Config) -> Iterator[_Moment]:
    """Yield the frames of a recording with the results of a fall detector per camera."""
    detectors: dict[str, FallDetector] = {}
    first_ns: int | None = None
    for step in replay.rederive(recording, config):
        camera = step.frame.camera
        detector = detectors.setdefault(camera, _fall_detector(config, camera))
        first_ns = step.frame.at_ns if first_ns is None else first_ns
        at_ns = step.frame.at_ns
        events = detector.update(step.tracks, at_ns)
        yield _Moment(
            (at_ns - first_ns) / NS_PER_S, len(step.tracks), detector.evidence(at_ns), events
        )


def _fall_detector(config: Config, camera: str) -> FallDetector:
    zones = (zone for known in config.cameras if known.id == camera for zone in _zones_of(known))
    return FallDetector.from_config(config, list(zones)) or FallDetector()


def _zones_of(camera: Camera) -> Iterator[Zone]:
    return (Zone.from_config(zone) for zone in camera.zones)


def _times_of(moments: Sequence[_Moment], kind: str) -> list[float]:
    return [one.at_s for one in moments for event in one.events if event.type == kind]


def _take_match(times: list[float], start_s: float, late_s: float) -> float | None:
    """Remove and return the first time that matches a fall with this start."""
    for at_s in times:
        if start_s - EARLY_S <= at_s <= start_s + late_s:
            times.remove(at_s)
            return at_s
    return None


def _missed_at(moments: Sequence[_Moment], start_s: float) -> Stage:
    """Return the stage at which the detection of a fall without suspicion failed."""
    before = [one for one in moments if start_s - BEFORE_S <= one.at_s <= start_s]
    after = [one for one in moments if start_s < one.at_s <= start_s + LATE_S]
    if not any(one.people for one in before):
        return "not found before the fall"
    seen = [said for one in after for said in one.evidence]
    descent = max((said.descent for said in seen), default=float("-inf"))
    if descent < 0:
        lost = sum(one.people > 0 for one in after[len(after) // 4 :])
        return "descent not recognised" if lost else "not found after the fall"
    if not any(said._replace(slowness=0.0).is_sufficient for said in seen):
        return "posture speaks against"
    enough = [said for said in seen if said.is_sufficient]
    if not enough:
        return "went down slowly"
    covered = all(said.covered for said in enough)
    return "behind another person" if covered else "evidence too short"


# ------------------------------------------------------------------------------- report


def report(results: Sequence[RecordingResult]) -> str:
    """Return text tables: totals of each group and of all, and stages of missed falls."""
    groups = sorted({result.group for result in results})
    head = ("group", "recordings", "hours", "falls", "suspected", "confirmed", "s to both")
    false = ("false: suspected", "an hour", "confirmed", "an hour")
    rows: list[Sequence[str]] = [(*head, *false)]
    for group in groups:
        rows.append(_group_row(group, [result for result in results if result.group == group]))
    if len(groups) > 1:
        rows.append(_group_row("all", results))
    stages = Counter(fall.missed_at for result in results for fall in result.falls)
    missed = [(stage, str(count)) for stage, count in stages.most_common() if stage is not None]
    tables = [_format_table(rows)]
    if missed:
        tables.append(_format_table([("missed falls broke off at", "n"), *missed]))
    if errors := [row for result in results for row in _error_rows(result)]:
        tables.append(_format_table([("recording", "error", "s"), *errors]))
    if repeated := sum(result.repeated for result in results):
        tables.append(f"{repeated} further events of falls that were found; they are not false")
    return "\n\n".join(tables)


def _error_rows(result: RecordingResult) -> Iterator[tuple[str, str, str]]:
    """Yield recording, error and time of each missed fall and false alarm."""
    for fall in result.falls:
        if fall.missed_at is not None:
            yield result.recording, f"missed: {fall.missed_at}", f"{fall.start_s:.1f}"
    for alarm in result.false_alarms:
        yield result.recording, f"false: {alarm.type}", f"{alarm.at_s:.1f}"


def _group_row(group: str, results: Sequence[RecordingResult]) -> tuple[str, ...]:
    falls = [fall for result in results for fall in result.falls]
    hours = sum(result.watched_s for result in results) / 3600
    confirmable = [fall for fall in falls if fall.confirmable]
    delays = (
        [f.suspected_s - f.start_s for f in falls if f.suspected_s is not None],
        [f.confirmed_s - f.start_s for f in falls if f.confirmed_s is not None],
    )
    false = [
        sum(result.false_suspected for result in results),
        sum(result.false_confirmed for result in results),
    ]
    return (
        group,
        str(len(results)),
        f"{hours:.2f}",
        str(len(falls)),
        _format_share(sum(f.suspected_s is not None for f in falls), len(falls)),
        _format_share(sum(f.confirmed_s is not None for f in confirmable), len(confirmable)),
        ", ".join(f"{median(part):.1f}" if part else "-" for part in delays),
        *(
            cell
            for count in false
            for cell in (str(count), f"{count / hours:.1f}" if hours else "-")
        ),
    )


def _format_share(count: int, total: int) -> str:
    return f"{count}/{total} {100 * count / total:.0f}%" if total else "-"


def _format_table(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def as_json(results: Sequence[RecordingResult]) -> Mapping[str, Any]:
    """Return the results as plain data for JSON."""
    return {"recordings": [msgspec.to_builtins(result) for result in results]}
