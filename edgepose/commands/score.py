"""Score events: compare a recording with labels of the actual events.

This version computes events from the recorded poses, with the zones and events of the
configuration, and matches them one to one with the labels. So versions and settings can be
compared on the same recording. For a folder of recordings, falls are scored:
totals of each group, false alarms an hour, and the stage that rejected missed falls.
"""

import argparse
from collections.abc import Iterable
from pathlib import Path

import msgspec

from edgepose.commands import add_config
from edgepose.config import loading
from edgepose.config.gesture_rules import BUILT_IN
from edgepose.config.schema import Config
from edgepose.errors import UsageError
from edgepose.measure import event_scores, fall_report
from edgepose.mqtt import messages
from edgepose.mqtt.messages import EventMessage
from edgepose.recording import frames, reader, replay
from edgepose.recording.reader import Recording


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "recording",
        type=Path,
        metavar="RECORDING",
        help="JSON Lines or MCAP; or a folder of recordings with falls in NAME.labels.toml",
    )
    parser.add_argument(
        "labels",
        type=Path,
        nargs="?",
        metavar="LABELS",
        help="TOML, or JSON Lines (.jsonl); not for a folder",
    )
    add_config(parser, "zones and events")
    parser.add_argument(
        "--recorded", action="store_true", help="score the recorded events, not new ones"
    )
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def run(args: argparse.Namespace) -> int:
    """Print precision, recall, delay and false alarms a day for each event type."""
    if args.recording.is_dir():
        return _score_folder(args)
    if args.labels is None:
        msg = f"no labels for {args.recording}; expected a file of labels, or a folder"
        raise UsageError(msg)
    source = reader.open_recording(args.recording)
    first = next(frames.frames(source), None)
    if first is None:
        msg = f"{args.recording}: no frames; expected messages of the topic poses"
        raise UsageError(msg)
    config = loading.load_with_overrides(args.config)
    said = _recorded_events(source) if args.recorded else _rederived_events(source, config)
    gestures = {*BUILT_IN, *(own.id for own in config.gestures), *_gesture_names(said)}
    labels = event_scores.read_labels(args.labels, first.unix_ns, gestures)
    events = [event_scores.happened(event, first.unix_ns) for event in said]
    watched_s = event_scores.watched_s(frames.frames(source))
    scores = event_scores.score(labels, events, watched_s)
    if args.json:
        print(msgspec.json.encode({"watched_s": watched_s, "scores": scores}).decode())
    else:
        print(event_scores.table(scores, watched_s))
    return 0


def _score_folder(args: argparse.Namespace) -> int:
    """Print the fall detection scores of a folder of recordings."""
    if args.labels or args.recorded:
        msg = f"{args.recording} is a folder: its labels are beside the recordings, --json only"
        raise UsageError(msg)
    config = loading.load_with_overrides(args.config)
    results = [
        fall_report.score_recording(recording, fall_report.read_labels(labels), config)
        for recording, labels in fall_report.find_recordings(args.recording)
    ]
    if args.json:
        print(msgspec.json.encode(fall_report.as_json(results)).decode())
    else:
        print(fall_report.report(results))
    return 0


def _gesture_names(said: Iterable[EventMessage]) -> set[str]:
    """Return the gestures of the events; recordings may contain ones that are not configured."""
    return {str(event.data["gesture"]) for event in said if event.type == "gesture"}


def _rederived_events(source: Recording, config: Config) -> list[EventMessage]:
    steps = replay.rederive(source, config)
    said = (message for step in steps for message in step.messages(source.base_topic))
    return _events_of(source, ((message.topic, message.payload) for message in said))


def _recorded_events(source: Recording) -> list[EventMessage]:
    return _events_of(source, ((entry.topic, entry.payload) for entry in source.entries()))


def _events_of(source: Recording, said: Iterable[tuple[str, bytes]]) -> list[EventMessage]:
    read = (messages.read(source.base_topic, topic, payload) for topic, payload in said)
    return [message for message in read if isinstance(message, EventMessage)]
