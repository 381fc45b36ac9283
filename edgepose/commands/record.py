"""Record what running devices publish: JSON Lines, or MCAP for robotics.

The file holds poses, states and events, no picture. `edgepose replay` plays it back,
`edgepose score` measures events by it; it is the way to report a false alarm.
"""

import argparse
import contextlib
import os
import queue
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from typing import IO, Any, Final

from edgepose import recording
from edgepose.config import PASSWORD_VARIABLE
from edgepose.errors import BrokerError, UsageError
from edgepose.sinks import Received, Sink
from edgepose.sinks.mqtt import MqttSink, Options
from edgepose.subscriber import DEFAULT_URL, filters
from edgepose.timing import Clock

Inbox = queue.SimpleQueue[Received | BrokerError]

WAKE_S: Final = 0.2


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what the command takes."""
    add_broker(parser)
    parser.add_argument("--device", metavar="D", help="only this device")
    parser.add_argument("--camera", metavar="C", help="only this camera")
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("-"),
        metavar="FILE",
        help="a new file, .mcap for MCAP; - or none: JSON Lines to standard output",
    )
    parser.add_argument(
        "--for", dest="seconds", type=float, metavar="S", help="stop after so many seconds"
    )


def add_broker(parser: argparse.ArgumentParser) -> None:
    """Declare what says where the broker is."""
    parser.add_argument(
        "--mqtt",
        default=DEFAULT_URL,
        metavar="URL",
        help=f"the broker, mqtt://[USER[:PASSWORD]@]HOST[:PORT]; {DEFAULT_URL} without."
        f" A password may also stand in the environment's {PASSWORD_VARIABLE}",
    )
    parser.add_argument(
        "--base-topic", default=recording.BASE_TOPIC, metavar="TOPIC", help="edgepose without"
    )
    parser.add_argument("--ca-file", metavar="FILE", help="certificate of the broker's authority")


def link(args: argparse.Namespace, name: str, failures: queue.SimpleQueue[Any]) -> MqttSink:
    """Make the way to the broker; its refusal is put into the queue."""
    named = ":" in args.mqtt.rpartition("@")[0].partition("//")[2]
    options = Options.from_url(
        args.mqtt,
        client_id=name,
        ca_file=args.ca_file,
        password=None if named else os.environ.get(PASSWORD_VARIABLE),
    )
    return MqttSink(options, on_failure=failures.put)


def run(args: argparse.Namespace) -> int:
    """Record until Ctrl-C, SIGTERM or the end of the time; the file is complete then."""
    clock = Clock()
    about = {"base_topic": args.base_topic, "device": args.device, "camera": args.camera}
    with _output(args.output) as file:
        sink = recording.write(args.output, file, clock, about)
        received: Inbox = queue.SimpleQueue()
        source = link(args, "edgepose-record", received)
        for topic in filters(args.base_topic, args.device, args.camera):
            source.subscribe(topic, received.put)
        source.start()
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        counts: Counter[str] = Counter()
        try:
            with contextlib.suppress(KeyboardInterrupt):
                _pump(received, sink, counts, args.seconds)
        finally:
            source.close()
            _drain(received, sink, counts)
            sink.close()
    told = ", ".join(f"{number} {leaf}" for leaf, number in sorted(counts.items()))
    print(f"recorded {told or 'nothing'}", file=sys.stderr)
    return 0


def _pump(received: Inbox, sink: Sink, counts: Counter[str], seconds: float | None) -> None:
    """Write what comes until the time is over."""
    end_s = None if seconds is None else time.monotonic() + seconds
    while end_s is None or time.monotonic() < end_s:
        with contextlib.suppress(queue.Empty):
            _write(received.get(timeout=WAKE_S), sink, counts)


def _drain(received: Inbox, sink: Sink, counts: Counter[str]) -> None:
    """Write what has come already."""
    with contextlib.suppress(queue.Empty):
        while True:
            _write(received.get_nowait(), sink, counts)


def _write(came: Received | BrokerError, sink: Sink, counts: Counter[str]) -> None:
    if isinstance(came, BrokerError):
        raise came
    counts[came.topic.rpartition("/")[2]] += 1
    sink.publish(recording.message(came.topic, came.payload))


def _output(path: Path) -> IO[bytes]:
    if str(path) == "-":
        return os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    try:
        return path.open("xb")
    except FileExistsError:
        msg = f"{path}: is there already; expected the name of a new file"
        raise UsageError(msg) from None
