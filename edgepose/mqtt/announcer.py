"""Publishes discovery messages for Home Assistant, and removes old ones."""

import random
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from edgepose.config.schema import Config
from edgepose.mqtt.discovery import Component, components, device, payload, topic
from edgepose.mqtt.topics import Topics
from edgepose.system.storage import StateFile
from edgepose.types import Message, Received

BIRTH: Final = b"online"
DELAY_S: Final = (0.5, 3.0)  # the devices of a house do not all answer in the same moment
FORGET_S: Final = 3.0  # Home Assistant needs 0.5 s when it loads a platform for the first time


class DiscoveryState(msgspec.Struct):
    """What Home Assistant may know of us."""

    topic: str
    device: dict[str, Any]
    """The message without its components."""

    components: dict[str, Component] = {}
    going: dict[str, Component] = {}
    """Components that are no more, until Home Assistant has surely forgotten them."""

    tried: bool = False
    """It was told at a start, when nobody knows whether it listened."""


class DiscoveryPublisher:
    """Announces the device, and again when Home Assistant is born; takes away what is no more.

    Parameters
    ----------
    put : callable
        Sends a retained message, of which the latest is sent again in each session.
    repeat : callable
        Sends all states again.
    note : StateFile
        Remembers what was announced; of type `DiscoveryState`.
    delay_s : tuple of two floats
        The shortest and longest pause before a birth message is answered.
    """

    def __init__(
        self,
        put: Callable[[Message], None],
        repeat: Callable[[], None],
        note: StateFile,
        *,
        delay_s: tuple[float, float] = DELAY_S,
        forget_s: float = FORGET_S,
    ) -> None:
        self._put, self._repeat, self._note = put, repeat, note
        self._delay_s, self._forget_s = delay_s, forget_s
        self._lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._closed = False
        self._known: DiscoveryState | None = note.read()
        self._wanted: tuple[Config, dict[str, Component]] | None = None
        self._connected = False

    def configure(self, config: Config, topics: Topics) -> None:
        """Announce what is configured now, or take the device away if that is asked for."""
        with self._lock:
            asked = config.homeassistant.discovery
            self._wanted = (config, components(config, topics) if asked else {})
            self._leave(topic(config))
            if asked or self._known is not None:
                self._merge()
                self._announce(born=False)

    def connected(self) -> None:
        """Finish what a connection is needed for."""
        with self._lock:
            self._connected = True
            if self._known is not None and self._known.going and not self._known.tried:
                self._later(self._forget_s, self._finish)

    def disconnected(self) -> None:
        """Wait with what is to be taken away."""
        with self._lock:
            self._connected = False

    def on_birth(self, received: Received) -> None:
        """Answer Home Assistant's birth message after a moment."""
        if received.payload == BIRTH and not received.retained:
            with self._lock:
                self._later(random.uniform(*self._delay_s), self._born)

    def close(self) -> None:
        """Start nothing any more."""
        with self._lock:
            self._closed = True
            for timer in self._timers:
                timer.cancel()

    def _leave(self, here: str) -> None:
        """Take the device away from a topic that is not ours any more."""
        known = self._known
        if known is not None and known.topic != here:
            self._put(_retained(known.topic, b""))
            self._known = None

    def _merge(self) -> None:
        """Note what is to be there, and what of the known is to go."""
        assert self._wanted is not None
        config, wanted = self._wanted
        known = self._known or DiscoveryState(topic(config), {})
        before = known.going | known.components
        going = {key: entity for key, entity in before.items() if key not in wanted}
        tried = known.tried and going.keys() <= known.going.keys()
        self._known = DiscoveryState(known.topic, device(config), wanted, going, tried)
        self._note.write(self._known)

    def _announce(self, *, born: bool) -> None:
        """Say everything; with what is to go, which is then taken away in a second message."""
        known = self._known
        if known is None:
            return
        again = known.going and (born or not known.tried)
        if not again:
            self._say(known.components)
            return
        self._say(known.components | known.going)
        if self._connected or born:
            self._later(self._forget_s, self._forget if born else self._finish)

    def _finish(self) -> None:
        """Take away what is to go, at a start: it will be done again at the next birth."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.tried = True
            self._note.write(known)

    def _forget(self) -> None:
        """Take away what is to go: Home Assistant was there, so this was the last of it."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.going = {}
            if not known.components:
                self._known = None
            self._note.write(self._known)

    def _take_away(self, known: DiscoveryState) -> None:
        stubs = {key: {"platform": entity["platform"]} for key, entity in known.going.items()}
        self._say(known.components | stubs if known.components else {})

    def _born(self) -> None:
        with self._lock:
            if self._closed:
                return
            self._announce(born=True)
        self._repeat()

    def _say(self, entities: dict[str, Component]) -> None:
        known = self._known
        assert known is not None
        self._put(_retained(known.topic, payload(known.device, entities)))

    def _later(self, delay_s: float, do: Callable[[], None]) -> None:
        if self._closed:
            return

        def run() -> None:
            self._timers.discard(timer)
            do()

        timer = threading.Timer(delay_s, run)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()


def _retained(where: str, content: bytes) -> Message:
    return Message(where, content, "state", qos=1, retain=True)
