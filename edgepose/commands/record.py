"""Record the messages of running devices, as JSON Lines or as MCAP for robotics.

The file contains poses, states and events, but no images. `edgepose replay` publishes it
again, and `edgepose score` evaluates events with it. Attach one to reports of false alarms.
"""

import argparse
import contextlib
import os
import queue
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Any, Final

from edgepose.commands import add_broker, add_config, add_topics, ranged
from edgepose.commands.broker import BrokerChoice
from edgepose.errors import BrokerError, EdgeposeError, UsageError, in_words
from edgepose.mqtt.client import MqttClient
from edgepose.mqtt.options import BrokerOptions
from edgepose.mqtt.subscriber import filters
from edgepose.recording import Sink, reader
from edgepose.timing import Clock
from edgepose.types import Received

Inbox = queue.SimpleQueue[Received | BrokerError]

WAKE_S: Final = 0.2
PATIENCE_S: Final = 10.0  # upper limit of the wait for the broker with --for
HEARING_S: Final = 1.0  # long enough for retained messages and poses


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_broker(parser)
    add_config(parser, "file with the broker's address")
    add_topics(parser)
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("-"),
        metavar="FILE",
        help="new file, .mcap for MCAP; default or -: JSON Lines to standard output",
    )
    parser.add_argument(
        "--for",
        dest="seconds",
        type=ranged(float, 0),
        metavar="S",
        help="stop after this many seconds",
    )


def link(choice: BrokerChoice, name: str, failures: queue.SimpleQueue[Any]) -> MqttClient:
    """Return a client for the broker; its errors are put into the queue."""
    options = BrokerOptions.from_url(choice.url, client_id=name, **choice.settings)
    return MqttClient(options, on_failure=failures.put)


def run(args: argparse.Namespace) -> int:
    """Record until Ctrl-C, SIGTERM or the time limit; the file is then complete."""
    choice = BrokerChoice.from_args(args)
    args.base_topic = choice.base_topic
    counts: Counter[str] = Counter()
    with _open_output(args.output, counts) as file:
        nothing = _record_messages(args, choice, file, counts)
    if not counts:
        raise EdgeposeError(nothing)
    leaves: Counter[str] = Counter()
    for topic, number in counts.items():
        leaves[topic.rpartition("/")[2]] += number
    told = ", ".join(f"{number} {leaf}" for leaf, number in sorted(leaves.items()))
    print(f"recorded {told}", file=sys.stderr)
    return 0


def _record_messages(
    args: argparse.Namespace, choice: BrokerChoice, file: IO[bytes], counts: Counter[str]
) -> str:
    """Record messages and count them by topic; return the error if no requested one arrived."""
    received: Inbox = queue.SimpleQueue()
    source = link(choice, "edgepose-record", received)
    for topic in filters(args.base_topic, args.device, args.camera):
        source.subscribe(topic, received.put)
    about = {"base_topic": args.base_topic, "device": args.device, "camera": args.camera}
    sink = reader.write(args.output, file, Clock(), about)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    began_s, nothing = time.monotonic(), ""
    try:
        with contextlib.suppress(KeyboardInterrupt):
            source.start()
            if args.seconds is None or source.wait_subscribed(PATIENCE_S):
                began_s = time.monotonic()
                _write_until(received, sink, counts, args.seconds)
        if not _has_arrived(args, counts):
            nothing = _no_messages_error(args, source, time.monotonic() - began_s)
    finally:
        source.close()
        _write_queued(received, sink, counts)
        sink.close()
        if not _has_arrived(args, counts):
            counts.clear()
    return nothing


def _has_arrived(args: argparse.Namespace, topics: Iterable[str]) -> bool:
    """Return whether a message arrived, from the requested camera if there is one."""
    below = (topic.removeprefix(f"{args.base_topic}/").split("/") for topic in topics)
    return any(args.camera in {None, parts[1]} for parts in below)


def _no_messages_error(args: argparse.Namespace, source: MqttClient, waited_s: float) -> str:
    """Return the error for a recording without messages, with the devices that were found."""
    address = source.options.address
    if not source.connected:
        reason = f" ({source.trouble})" if source.trouble else ""
        return f"recorded nothing: no broker at {address}{reason}; expected one at --mqtt"
    what = f'device "{args.device}"' if args.device else "any device"
    what += f', camera "{args.camera}"' if args.camera else ""
    heard = ", ".join(_active_cameras(source, args.base_topic)) or "nobody"
    return (
        f"recorded nothing: waited {waited_s:.1f} s at {address} for {what} under the topic"
        f" {args.base_topic}; heard there: {heard}"
    )


def _active_cameras(source: MqttClient, base_topic: str) -> list[str]:
    """Return the active ``DEVICE/CAMERA`` names, after listening for `HEARING_S`."""
    topics: queue.SimpleQueue[str] = queue.SimpleQueue()
    for leaf in ("availability", "poses"):
        source.subscribe(f"{base_topic}/+/+/{leaf}", lambda came: topics.put(came.topic))
    time.sleep(HEARING_S)
    names = {topics.get_nowait() for _ in range(topics.qsize())}
    return sorted({"/".join(name.split("/")[-3:-1]) for name in names})


def _write_until(received: Inbox, sink: Sink, counts: Counter[str], seconds: float | None) -> None:
    """Write messages as they arrive, until the time limit."""
    end_s = None if seconds is None else time.monotonic() + seconds
    while end_s is None or time.monotonic() < end_s:
        with contextlib.suppress(queue.Empty):
            _write_message(received.get(timeout=WAKE_S), sink, counts)


def _write_queued(received: Inbox, sink: Sink, counts: Counter[str]) -> None:
    """Write the messages that are still in the queue."""
    with contextlib.suppress(queue.Empty):
        while True:
            _write_message(received.get_nowait(), sink, counts)


def _write_message(came: Received | BrokerError, sink: Sink, counts: Counter[str]) -> None:
    if isinstance(came, BrokerError):
        raise came
    counts[came.topic] += 1
    sink.publish(reader.message(came.topic, came.payload))


@contextlib.contextmanager
def _open_output(path: Path, counts: Counter[str]) -> Iterator[IO[bytes]]:
    """Open the output file, and delete it at the end if it is empty."""
    if str(path) == "-":
        with os.fdopen(os.dup(sys.stdout.fileno()), "wb") as output:
            yield output
        return
    try:
        file = path.open("xb")
    except FileExistsError:
        msg = f"{path}: exists already; expected the name of a new file"
        raise UsageError(msg) from None
    except OSError as error:
        msg = f"{path}: cannot be written: {in_words(error)}; expected the name of a new file"
        raise UsageError(msg) from None
    try:
        with file:
            yield file
    finally:
        if not counts:
            path.unlink()
