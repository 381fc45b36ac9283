"""Show the messages of running devices: a live table in a terminal, else one line each."""

import argparse
import shutil
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from typing import Final

from edgepose.commands import add_broker, add_config, add_topics
from edgepose.commands.broker import BrokerChoice
from edgepose.mqtt.messages import (
    AnyMessage,
    AvailabilityMessage,
    EventMessage,
    PersonMessage,
    PosesMessage,
    StateMessage,
    StatsMessage,
    StatusMessage,
)
from edgepose.mqtt.subscriber import Subscription
from edgepose.urls import redact

REFRESH_S: Final = 0.2
RATE_OVER_S: Final = 5.0
SILENT_S: Final = 3.0  # after this time without messages the table shows a notice
EVENTS_SHOWN: Final = 5
HOME: Final = "\x1b[H"
CLEAR_LINE: Final = "\x1b[K"
CLEAR_BELOW: Final = "\x1b[J"
CLEAR_ALL: Final = "\x1b[2J"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_broker(parser)
    add_config(parser, "file with the broker's address")
    add_topics(parser)


def run(args: argparse.Namespace) -> int:
    """Show messages until Ctrl-C."""
    choice = BrokerChoice.from_args(args)
    subscription = Subscription(
        choice.url,
        device=args.device,
        camera=args.camera,
        base_topic=choice.base_topic,
        **choice.settings,
    )
    with subscription:
        follow(subscription, redact(choice.url))
    return 0


def follow(subscription: Subscription, where: str) -> None:
    """Show messages until Ctrl-C, or until the subscription is closed."""
    live = sys.stdout.isatty()
    try:
        if live:
            _redraw_table(subscription, where)
        else:
            for message in subscription:
                print(harmless(line(message)), flush=True)
    except KeyboardInterrupt:
        if live:
            print()


def _redraw_table(subscription: Subscription, where: str) -> None:
    """Redraw the table every `REFRESH_S`, also without messages, to show that none arrive."""
    table = LiveTable(time.monotonic)
    print(CLEAR_ALL, end="")
    drawn_s = 0.0
    while not subscription.closed:
        message = subscription.take(REFRESH_S)
        if message is not None:
            table.add(message)
        if time.monotonic() - drawn_s < REFRESH_S:
            continue
        drawn_s = time.monotonic()
        away = "" if subscription.connected else "  (no connection)"
        size = shutil.get_terminal_size()
        rows = [f"{where}{away}  Ctrl-C ends", "", *table.rows()][: size.lines - 1]
        text = "\n".join(harmless(row)[: size.columns] + CLEAR_LINE for row in rows)
        print(f"{HOME}{text}\n{CLEAR_BELOW}", end="", flush=True)


class LiveTable:
    """The latest messages of each camera, as rows of text.

    Parameters
    ----------
    now_s : callable
        Returns seconds of a monotonic clock.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        self._now_s = now_s
        self._began_s = now_s()
        self._latest: dict[tuple[str, str], PosesMessage] = {}
        self._states: dict[tuple[str, str], StateMessage] = {}
        self._seen_s: dict[tuple[str, str], float] = {}
        self._arrivals: dict[tuple[str, str], deque[float]] = {}
        self._offline: set[tuple[str, str | None]] = set()
        self._events: deque[EventMessage] = deque(maxlen=EVENTS_SHOWN)

    def add(self, message: AnyMessage) -> None:
        """Add a message to the table."""
        match message:
            case PosesMessage():
                key = (message.device, message.camera)
                self._latest[key] = message
                self._seen_s[key] = self._now_s()
                self._arrivals.setdefault(key, deque()).append(self._now_s())
            case StateMessage():
                self._states[message.device, message.camera] = message
            case EventMessage():
                self._events.append(message)
            case AvailabilityMessage(online=True):
                self._offline.discard((message.device, message.camera))
            case AvailabilityMessage():
                self._offline.add((message.device, message.camera))
            case _:
                pass

    def rows(self) -> list[str]:
        """Return the current rows of the table."""
        keys = sorted({*self._latest, *self._states})
        if not keys and not self._events:
            return ["nothing yet"]
        rows = [row for key in keys for row in self._camera_rows(key)]
        return [*rows, *(brief(event) for event in reversed(self._events))]

    def _camera_rows(self, key: tuple[str, str]) -> Iterator[str]:
        latest, state = self._latest.get(key), self._states.get(key)
        head = f"{key[0]}/{key[1]}"
        if latest is None:
            yield f"{head:24}  {self._describe_state(key, state) or 'no frame yet'}"
        else:
            yield (
                f"{head:24} {self._frame_rate(key):5.1f} fps  {latest.latency_ms:6.1f} ms"
                f"  {len(latest.poses)} in view  {self._describe_state(key, state)}"
            )
            yield from (f"  {person(one)}" for one in latest.poses)
        yield ""

    def _describe_state(self, key: tuple[str, str], state: StateMessage | None) -> str:
        device, camera = key
        if self._offline & {(device, None), (device, camera)}:
            return "offline"
        if state is not None and state.paused:
            return "paused"
        silent_s = self._now_s() - self._seen_s.get(key, self._now_s())
        if silent_s > SILENT_S:
            return f"nothing for {silent_s:.0f} s"
        return "FALL" if state is not None and state.fall else ""

    def _frame_rate(self, key: tuple[str, str]) -> float:
        """Return the frame rate in Hz over the last `RATE_OVER_S`."""
        arrivals, now_s = self._arrivals[key], self._now_s()
        while arrivals and arrivals[0] < now_s - RATE_OVER_S:
            arrivals.popleft()
        watched_s = min(RATE_OVER_S, now_s - self._began_s)
        return len(arrivals) / watched_s if watched_s > 0 else 0.0


def harmless(text: str) -> str:
    """Return text without control characters: published text is untrusted."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)


def person(one: PersonMessage) -> str:
    """Return a short description of a person."""
    name = "someone" if one.id is None else f"#{one.id}"
    x, y, width, height = one.bbox
    zones = f" in {', '.join(one.zones)}" if one.zones else ""
    where = f"at {x + width / 2:.0f}, {y + height / 2:.0f}"
    return f"{name} {one.posture_detail or one.posture} {one.score:.2f} {where}{zones}"


def brief(event: EventMessage) -> str:
    """Return an event as a row of the table: without the date and the device."""
    who = "" if event.person is None else f" #{event.person}"
    more = "".join(f" {value}" for value in event.data.values() if isinstance(value, str))
    return f"{event.at[11:19]} {event.camera}: {event.type.replace('_', ' ')}{who}{more}"


def line(message: AnyMessage) -> str:
    """Return a message as one line of text."""
    match message:
        case PosesMessage():
            people = "; ".join(person(one) for one in message.poses) or "nobody"
            return (
                f"{message.captured_at} {message.device}/{message.camera} #{message.seq}"
                f" {message.latency_ms:.1f} ms: {people}"
            )
        case EventMessage():
            who = "" if message.person is None else f" #{message.person}"
            more = "".join(f" {key}={value}" for key, value in message.data.items())
            return f"{message.at} {message.device}/{message.camera} {message.type}{who}{more}"
        case StateMessage():
            zones = Counter({name: zone.count for name, zone in message.zones.items()})
            inside = "".join(f", {count} in {name}" for name, count in zones.items() if count)
            words = [f"{message.count} in view{inside}", message.posture]
            words += [word for word in ("fall", "long_lie", "paused") if getattr(message, word)]
            return f"{message.device}/{message.camera} state: {', '.join(words)}"
        case StatusMessage():
            cameras = ", ".join(f"{name} {c.state}" for name, c in message.cameras.items())
            return (
                f"{message.device} edgepose {message.version}, {message.model} on"
                f" {message.delegate.name}, cameras: {cameras or 'none'}"
            )
        case StatsMessage():
            rates = ", ".join(f"{name} {c.fps:.1f} fps" for name, c in message.cameras.items())
            return f"{message.at} {message.device} stats: {rates}"
        case AvailabilityMessage():
            name = "/".join(part for part in (message.device, message.camera) if part)
            return f"{name} {'online' if message.online else 'offline'}"
