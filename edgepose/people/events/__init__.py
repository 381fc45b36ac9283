"""What happens to people: from tracks to events and to the camera's state.

To add a kind of event: write `events/<kind>.py`, add one row here, inherit the
contract test of `tests/support/contracts/event.py`; what it says stands in `TYPES`.
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
    "fall_suspected",
    "fall_confirmed",
    "fall_recovered",
    "long_lie",
    "person_still",
    "person_moved",
    "gesture",
    "line_crossed",
)
"""All that an event can say."""


class Detector(Protocol):
    """Watches the tracks of one camera."""

    @classmethod
    def configured(cls, config: Config, zones: Sequence[Zone]) -> Self | None:
        """Make what the configuration asks for; None for nothing."""

    def update(self, tracks: Sequence[Track], at_ns: int) -> list[Event]:
        """Take the people of one frame, in order of time, and say what has happened.

        `at_ns` is the frame's time and the only clock there is. Called for every
        frame, also when nobody is there.
        """

    @property
    def state(self) -> Mapping[str, Any]:
        """This detector's part of the topic `C/state`: keys of the contract, JSON-able."""
