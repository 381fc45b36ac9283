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
DELAY_S: Final = (0.5, 3.0)  # random, so that not all devices of a house answer at once
FORGET_S: Final = 3.0  # Home Assistant needs 0.5 s when it loads a platform for the first time


class DiscoveryState(msgspec.Struct):
    """The last published discovery message."""

    topic: str
    device: dict[str, Any]
    """The message without its components."""

    components: dict[str, Component] = {}
    removing: dict[str, Component] = msgspec.field(default_factory=dict, name="going")
    """Removed components that Home Assistant may not have deleted yet."""

    tried: bool = False
    """Whether `removing` was already removed at a start; Home Assistant may have been off then."""


class DiscoveryPublisher:
    """Publishes the discovery message, also after each birth message; removes old components.

    Parameters
    ----------
    put : callable
        Sends a retained message; the latest is sent again in each session.
    repeat : callable
        Sends all states again.
    note : StateFile
        Stores the published message; of type `DiscoveryState`.
    delay_s : tuple of two floats
        The shortest and longest pause after a birth message.
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
        """Publish the configured components, or remove the device if discovery is off."""
        with self._lock:
            asked = config.homeassistant.discovery
            self._wanted = (config, components(config, topics) if asked else {})
            self._leave(topic(config))
            if asked or self._known is not None:
                self._merge()
                self._announce(born=False)

    def connected(self) -> None:
        """Note the begin of a session, and continue a removal that waits for it."""
        with self._lock:
            self._connected = True
            if self._known is not None and self._known.removing and not self._known.tried:
                self._later(self._forget_s, self._finish)

    def disconnected(self) -> None:
        """Note the end of a session; suspends removals until the next one."""
        with self._lock:
            self._connected = False

    def on_birth(self, received: Received) -> None:
        """Handle Home Assistant's birth message: publish everything again."""
        if received.payload == BIRTH and not received.retained:
            with self._lock:
                self._later(random.uniform(*self._delay_s), self._born)

    def close(self) -> None:
        """Cancel all scheduled messages."""
        with self._lock:
            self._closed = True
            for timer in self._timers:
                timer.cancel()

    def _leave(self, here: str) -> None:
        """Remove the device from a topic of an earlier configuration."""
        known = self._known
        if known is not None and known.topic != here:
            self._put(_retained(known.topic, b""))
            self._known = None

    def _merge(self) -> None:
        """Store the configured components and the published ones that must be removed."""
        assert self._wanted is not None
        config, wanted = self._wanted
        known = self._known or DiscoveryState(topic(config), {})
        before = known.removing | known.components
        removing = {key: entity for key, entity in before.items() if key not in wanted}
        tried = known.tried and removing.keys() <= known.removing.keys()
        self._known = DiscoveryState(known.topic, device(config), wanted, removing, tried)
        self._note.write(self._known)

    def _announce(self, *, born: bool) -> None:
        """Publish all components, including removed ones, which a second message deletes."""
        known = self._known
        if known is None:
            return
        again = known.removing and (born or not known.tried)
        if not again:
            self._say(known.components)
            return
        self._say(known.components | known.removing)
        if self._connected or born:
            self._later(self._forget_s, self._forget if born else self._finish)

    def _finish(self) -> None:
        """Remove components at a start; done again after the next birth message."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.tried = True
            self._note.write(known)

    def _forget(self) -> None:
        """Remove components for good after a birth message: Home Assistant is running then."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.removing = {}
            if not known.components:
                self._known = None
            self._note.write(self._known)

    def _take_away(self, known: DiscoveryState) -> None:
        stubs = {key: {"platform": entity["platform"]} for key, entity in known.removing.items()}
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
