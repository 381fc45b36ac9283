"""Event detectors: from tracks to events and the camera's state.

To add a detector: write `events/<kind>.py`, add one row to `EVENTS`, list its event
types in `TYPES`, and inherit the contract test of `tests/support/contracts/event.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self

from edgepose.config.schema import Config
from edgepose.people.zones import Zone
from edgepose.types import Event, Track

EVENTS: Final = {
    "presence": "edgepose.people.events.presence:PresenceDetector",
    "zones": "edgepose.people.events.zones:ZoneDetector",
    "stays": "edgepose.people.events.stays:StayDetector",
    "postures": "edgepose.people.events.postures:PostureDetector",
    "falls": "edgepose.people.events.falls:FallDetector",
    "long_lies": "edgepose.people.events.long_lies:LongLieDetector",
    "stillness": "edgepose.people.events.stillness:StillnessDetector",
    "gestures": "edgepose.people.events.gestures:GestureDetector",
}

TYPES: Final = (
    "person_appeared",
    "person_left",
    "zone_entered",
    "zone_left",
    "zone_dwelling",
    "posture_changed",
    "posture_detail_changed",
    "fall_suspected",
    "fall_confirmed",
    "fall_recovered",
    "long_lie",
    "person_still",
    "person_moved",
    "gesture",
    "line_crossed",
)
"""All event types."""


class Detector(Protocol):
    """Derives events and state from the tracks of one camera."""

    @classmethod
    def from_config(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Create the detector from the configuration; None if it is disabled."""

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Process the tracks of one frame and return new events.

        Called for every frame in order of time, also without tracks. `at_ns` is the
        frame's time and the only clock.
        """

    @property
    def state(self) -> Mapping[str, Any]:
        """This detector's keys of the topic `C/state`, JSON-serialisable."""
