"""What happens to people: from tracks to events and to the camera's state.

To add a kind of event: write `events/<kind>.py`, add one row here, inherit the
contract test of `tests/contracts/event.py`; what it says stands in `TYPES`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol, Self

from edgepose.config import Config
from edgepose.structures import Event, Track
from edgepose.zones import Zone

EVENTS: Final = {
    "presence": "edgepose.events.presence:PresenceDetector",
    "zones": "edgepose.events.zones:ZoneDetector",
    "postures": "edgepose.events.postures:PostureDetector",
    "falls": "edgepose.events.falls:FallDetector",
    "gestures": "edgepose.events.gestures:GestureDetector",
}

TYPES: Final = (
    "person_appeared",
    "person_left",
    "zone_entered",
    "zone_left",
    "posture_changed",
    "fall_suspected",
    "fall_confirmed",
    "fall_recovered",
    "gesture",
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
