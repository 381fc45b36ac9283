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
DELAY_S: Final = (0.5, 3.0)  # random, so that all devices of a house do not answer at once
FORGET_S: Final = 3.0  # Home Assistant needs 0.5 s when it loads a platform for the first time


class DiscoveryState(msgspec.Struct):
    """The discovery message that Home Assistant may know."""

    topic: str
    device: dict[str, Any]
    """The message without its components."""

    components: dict[str, Component] = {}
    removing: dict[str, Component] = msgspec.field(default_factory=dict, name="going")
    """Removed components, until Home Assistant has certainly deleted them."""

    tried: bool = False
    """Whether they were removed at a start, when Home Assistant may not have been running."""


class DiscoveryPublisher:
    """Publishes the discovery message, again at each birth message, and removes old components.

    Parameters
    ----------
    put : callable
        Sends a retained message; the latest is sent again in each session.
    repeat : callable
        Sends all states again.
    note : StateFile
        Stores what was published; of type `DiscoveryState`.
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
        """Publish the configured components, or remove the device where discovery is off."""
        with self._lock:
            asked = config.homeassistant.discovery
            self._wanted = (config, components(config, topics) if asked else {})
            self._leave(topic(config))
            if asked or self._known is not None:
                self._merge()
                self._announce(born=False)

    def connected(self) -> None:
        """Continue a removal that needs a session."""
        with self._lock:
            self._connected = True
            if self._known is not None and self._known.removing and not self._known.tried:
                self._later(self._forget_s, self._finish)

    def disconnected(self) -> None:
        """Suspend removals until the next session."""
        with self._lock:
            self._connected = False

    def on_birth(self, received: Received) -> None:
        """Publish everything again after a birth message of Home Assistant."""
        if received.payload == BIRTH and not received.retained:
            with self._lock:
                self._later(random.uniform(*self._delay_s), self._born)

    def close(self) -> None:
        """Cancel everything that is scheduled."""
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
        """Store the wanted components, and which of the published ones to remove."""
        assert self._wanted is not None
        config, wanted = self._wanted
        known = self._known or DiscoveryState(topic(config), {})
        before = known.removing | known.components
        removing = {key: entity for key, entity in before.items() if key not in wanted}
        tried = known.tried and removing.keys() <= known.removing.keys()
        self._known = DiscoveryState(known.topic, device(config), wanted, removing, tried)
        self._note.write(self._known)

    def _announce(self, *, born: bool) -> None:
        """Publish all components, those to remove included; a second message then removes these."""
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
        """Remove components at a start; repeated at the next birth message."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.tried = True
            self._note.write(known)

    def _forget(self) -> None:
        """Remove components after a birth message: Home Assistant has received it, so for good."""
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
