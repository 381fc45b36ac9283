"""Publish a recording again, at its original or another speed.

Times are those of the recording unless --now shifts them. Messages are retained only with
--retain, so that the broker does not keep a device that does not exist. --events reads only
the poses and computes events and states with this version.
"""

import argparse
import queue
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from edgepose.commands import add_broker, add_config, ranged
from edgepose.commands.broker import BrokerChoice
from edgepose.commands.record import link
from edgepose.config import loading
from edgepose.errors import EdgeposeError
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.subscriber import check_names
from edgepose.recording import frames, reader, replay
from edgepose.recording.reader import RecordedEntry, Recording
from edgepose.timing import NS_PER_S, Clock
from edgepose.types import Message

AGAIN_S: Final = 0.05
PATIENCE_S: Final = 10.0  # the broker counts as lost if it accepts nothing for so long


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("recording", type=Path, metavar="FILE", help="JSON Lines or MCAP")
    add_broker(parser)
    parser.add_argument("--device", metavar="D", help="publish as this device")
    parser.add_argument(
        "--speed",
        type=ranged(float, 0),
        default=1.0,
        metavar="X",
        help="2: twice as fast; 0: at once",
    )
    parser.add_argument("--now", action="store_true", help="shift the times to now")
    parser.add_argument("--retain", action="store_true", help="publish states as retained messages")
    parser.add_argument(
        "--events", action="store_true", help="derive events and states from the poses"
    )
    add_config(parser, "file with the broker's address, and with --events zones and events")
    parser.add_argument(
        "--print", action="store_true", help="print the payloads, without a broker, at once"
    )


def run(args: argparse.Namespace) -> int:
    """Publish or print the recording."""
    if args.device is not None:
        check_names(args.device)
    source = reader.open_recording(args.recording)
    entries = _rederive_events(source, args.config) if args.events else source.entries()
    if args.print:
        for entry in _change_stamps(entries, source, args):
            print(entry.payload.decode(errors="replace"))
        return 0
    failures: queue.SimpleQueue[Any] = queue.SimpleQueue()
    sink = link(BrokerChoice.from_args(args), "edgepose-replay", failures)
    sink.start()
    counts: Counter[str] = Counter()
    try:
        _wait_for_broker(sink)
        for entry in _in_real_time(_change_stamps(entries, source, args), args.speed):
            _publish_entry(sink, reader.message(entry.topic, entry.payload, retain=args.retain))
            counts[entry.topic.rpartition("/")[2]] += 1
        sink.flush(PATIENCE_S)
    except KeyboardInterrupt:
        pass
    finally:
        sink.close()
    told = ", ".join(f"{number} {leaf}" for leaf, number in sorted(counts.items()))
    print(f"published {told or 'nothing'}", file=sys.stderr)
    return 0


def _rederive_events(source: Recording, file: Path | None) -> Iterator[RecordedEntry]:
    """Yield the messages that this version derives from the poses, at the times of their frames."""
    config = loading.load_with_overrides(file)
    began_ns: int | None = None
    for step in replay.rederive(source, config):
        began_ns = step.frame.at_ns if began_ns is None else began_ns
        t_s = (step.frame.at_ns - began_ns) / NS_PER_S
        yield from (
            RecordedEntry(t_s, m.topic, m.payload) for m in step.messages(source.base_topic)
        )


def _change_stamps(
    entries: Iterator[RecordedEntry], source: Recording, args: argparse.Namespace
) -> Iterator[RecordedEntry]:
    """Yield entries with device id and times changed as requested."""
    shift = _publish_time(source, args.speed) if args.now else None
    for entry in entries:
        yield reader.restamp(entry, source.base_topic, device=args.device, shift_ns=shift)


def _publish_time(source: Recording, speed: float) -> Callable[[int], int]:
    """Return the function from recorded Unix time to the time of publishing, in nanoseconds."""
    first = next(frames.frames(source), None)
    began_ns = 0 if first is None else first.unix_ns
    now_ns = Clock().unix_ns()
    return lambda unix_ns: now_ns + int((unix_ns - began_ns) / (speed or 1.0))


def _in_real_time(entries: Iterator[RecordedEntry], speed: float) -> Iterator[RecordedEntry]:
    """Yield entries at their times; late ones at once."""
    began_s = time.monotonic()
    for entry in entries:
        wait_s = began_s + entry.t_s / speed - time.monotonic() if speed else 0.0
        if wait_s > 0:
            time.sleep(wait_s)
        yield entry


def _wait_for_broker(sink: MqttClient) -> None:
    sink.wait_tried(PATIENCE_S)
    if sink.failure is not None:
        raise sink.failure
    if not sink.wait_connected(PATIENCE_S):
        reason = f" ({sink.trouble})" if sink.trouble else ""
        msg = f"replay: no broker at {sink.options.address}{reason}; expected one at --mqtt"
        raise EdgeposeError(msg)


def _publish_entry(sink: MqttClient, message: Message) -> None:
    """Publish a message; retry while the broker is slow.

    Raises
    ------
    EdgeposeError
        When the broker accepts nothing for `PATIENCE_S`.
    """
    end_s = time.monotonic() + PATIENCE_S
    while not sink.publish(message):
        if time.monotonic() > end_s:
            msg = f"replay: the broker at {sink.options.address} accepts no more messages"
            raise EdgeposeError(msg)
        time.sleep(AGAIN_S)
