"""Publishes discovery messages for Home Assistant, and removes old ones.

Version 0.1 published one message for the daemon and all cameras. Entities of cameras now belong
to messages of their own. Home Assistant rejects an entity that another message still has. So the
old message is first replaced by `MIGRATE`: Home Assistant then releases the entities and keeps
their ids, names and history.
"""

import random
import threading
from collections.abc import Callable
from typing import Any, Final

import msgspec

from edgepose.config.schema import Config
from edgepose.mqtt.discovery import Component, DiscoveredDevice, discovered_devices, discovery_root
from edgepose.mqtt.topics import Topics
from edgepose.system.storage import StateFile
from edgepose.types import Message, Received

BIRTH: Final = b"online"
MIGRATE: Final = b'{"migrate_discovery":true}'
DELAY_S: Final = (0.5, 3.0)  # random, so that not all devices of a house answer at once
FORGET_S: Final = 3.0  # Home Assistant needs 0.5 s when it loads a platform for the first time

Devices = dict[str, DiscoveredDevice]


class DiscoveryState(msgspec.Struct):
    """The last published discovery messages, by topic."""

    devices: Devices = {}
    removing: Devices = {}
    """Removed components that Home Assistant may not have deleted yet."""

    tried: bool = False
    """Whether `removing` was already removed at a start; Home Assistant may have been off then."""

    topic: str = ""
    """Topic of the one message of version 0.1; empty once it is replaced."""

    components: dict[str, Component] = {}
    """Components of that message."""

    device: dict[str, Any] = {}
    """That message without its components."""


class DiscoveryPublisher:
    """Publishes the discovery messages, also after each birth message; removes old components.

    Parameters
    ----------
    put : callable
        Sends a retained message; the latest is sent again in each session.
    repeat : callable
        Sends all states again.
    note : StateFile
        Stores the published messages; of type `DiscoveryState`.
    lasting : bool
        False for a run that ends by itself: it publishes and removes nothing.
    delay_s : tuple of two floats
        The shortest and longest pause after a birth message.
    """

    def __init__(
        self,
        put: Callable[[Message], None],
        repeat: Callable[[], None],
        note: StateFile,
        *,
        lasting: bool = True,
        delay_s: tuple[float, float] = DELAY_S,
        forget_s: float = FORGET_S,
    ) -> None:
        self._put, self._repeat, self._note, self._lasting = put, repeat, note, lasting
        self._delay_s, self._forget_s = delay_s, forget_s
        self._lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._closed = False
        self._known: DiscoveryState | None = note.read()
        self._migrating = False
        self._connected = False

    def configure(self, config: Config, topics: Topics) -> None:
        """Publish the configured devices, or remove them if discovery is off."""
        if not self._lasting:
            return
        with self._lock:
            asked = config.homeassistant.discovery
            wanted = discovered_devices(config, topics) if asked else {}
            if not asked and self._known is None:
                return
            self._leave_topic(discovery_root(config))
            self._merge_published(wanted)
            self._publish_components(born=False)

    def connected(self) -> None:
        """Note the start of a session, and continue a removal that waits for it."""
        with self._lock:
            self._connected = True
            if self._migrating:
                self._run_later(self._forget_s, self._migrated)
            elif self._known is not None and self._known.removing and not self._known.tried:
                self._run_later(self._forget_s, self._finish_removal)

    def disconnected(self) -> None:
        """Note the end of a session; suspends removals until the next one."""
        with self._lock:
            self._connected = False

    def on_birth(self, received: Received) -> None:
        """Handle Home Assistant's birth message: publish everything again."""
        if received.payload == BIRTH and not received.retained:
            with self._lock:
                self._run_later(random.uniform(*self._delay_s), self._on_birth)

    def close(self) -> None:
        """Cancel all scheduled messages."""
        with self._lock:
            self._closed = True
            for timer in self._timers:
                timer.cancel()

    def _leave_topic(self, root: str) -> None:
        """Remove at once the devices of another prefix or device id."""
        known = self._known
        if known is None:
            return
        former = {known.topic: DiscoveredDevice(known.device)} if known.topic else {}
        for topic in [it for it in known.devices | former if not it.startswith(f"{root}/")]:
            self._put(_retained_message(topic, b""))
            known.devices.pop(topic, None)
            known.removing.pop(topic, None)
            known.topic = "" if topic == known.topic else known.topic

    def _merge_published(self, wanted: Devices) -> None:
        """Store the configured components and the published ones that must be removed."""
        known = self._known or DiscoveryState()
        self._migrating = bool(known.topic and wanted)
        before = _joined(known.devices, known.removing, _former(known, wanted))
        removing = _without(before, wanted)
        tried = known.tried and _keys(removing) <= _keys(known.removing)
        if self._migrating:  # keep the old record until Home Assistant releases the entities
            self._known = DiscoveryState(
                wanted, removing, tried, known.topic, known.components, known.device
            )
            return
        self._known = DiscoveryState(wanted, removing, tried)
        self._note.write(self._known)

    def _publish_components(self, *, born: bool) -> None:
        """Publish all components, including removed ones, which a second message deletes."""
        known = self._known
        if known is None:
            return
        if self._migrating:
            self._put(_retained_message(known.topic, MIGRATE))
            return
        again = known.removing and (born or not known.tried)
        self._publish_entities(_joined(known.devices, known.removing) if again else known.devices)
        if again and (self._connected or born):
            self._run_later(self._forget_s, self._forget_removed if born else self._finish_removal)

    def _migrated(self) -> None:
        """Publish the devices: Home Assistant has released the entities of the old message."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed or not self._migrating:
                return
            self._migrating = False
            self._known = DiscoveryState(known.devices, known.removing, known.tried)
            self._note.write(self._known)
            self._publish_components(born=False)

    def _finish_removal(self) -> None:
        """Remove components at a start; done again after the next birth message."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.tried = True
            self._note.write(known)

    def _forget_removed(self) -> None:
        """Remove components for good after a birth message: Home Assistant is running then."""
        with self._lock:
            known = self._known
            if known is None or not self._connected or self._closed:
                return
            self._take_away(known)
            known.removing = {}
            if not known.devices:
                self._known = None
            self._note.write(self._known)

    def _take_away(self, known: DiscoveryState) -> None:
        """Publish devices without their removed components, of which only the platforms remain."""
        for topic, removed in known.removing.items():
            if topic in known.devices:
                stubs = {
                    key: {"platform": it["platform"]} for key, it in removed.components.items()
                }
                self._publish_entities({topic: _with(known.devices[topic], stubs)})
            else:
                self._publish_entities({topic: DiscoveredDevice(removed.about)})

    def _on_birth(self) -> None:
        with self._lock:
            if self._closed or self._migrating:
                return
            self._publish_components(born=True)
        self._repeat()

    def _publish_entities(self, devices: Devices) -> None:
        for topic, device in devices.items():
            self._put(_retained_message(topic, device.payload()))

    def _run_later(self, delay_s: float, do: Callable[[], None]) -> None:
        if self._closed:
            return

        def run() -> None:
            self._timers.discard(timer)
            do()

        timer = threading.Timer(delay_s, run)
        timer.daemon = True
        self._timers.add(timer)
        timer.start()


def _retained_message(where: str, content: bytes) -> Message:
    return Message(where, content, "state", qos=1, retain=True)


def _former(known: DiscoveryState, wanted: Devices) -> Devices:
    """Return the components published by version 0.1 that are no longer configured."""
    kept = {key for device in wanted.values() for key in device.components}
    gone = {key: it for key, it in known.components.items() if key not in kept}
    return {known.topic: DiscoveredDevice(known.device, gone)} if known.topic and gone else {}


def _joined(*parts: Devices) -> Devices:
    """Return all devices, each with its components from all parts, in the order of the parts."""
    found: Devices = {}
    for part in parts:
        for topic, device in part.items():
            found[topic] = _with(found.get(topic, device), device.components)
    return found


def _with(device: DiscoveredDevice, more: dict[str, Component]) -> DiscoveredDevice:
    return DiscoveredDevice(device.about, device.components | more)


def _without(before: Devices, wanted: Devices) -> Devices:
    """Return the components of each device that are no longer wanted on its topic."""
    gone = {}
    for topic, device in before.items():
        kept = wanted[topic].components if topic in wanted else {}
        if left := {key: it for key, it in device.components.items() if key not in kept}:
            gone[topic] = DiscoveredDevice(device.about, left)
    return gone


def _keys(devices: Devices) -> set[tuple[str, str]]:
    return {(topic, key) for topic, device in devices.items() for key in device.components}
