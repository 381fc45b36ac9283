"""Tests that every event detector must pass; its test inherits `DetectorContract`."""

import json
from abc import ABC, abstractmethod

from edgepose.people.events import TYPES, Detector
from edgepose.timing import NS_PER_S
from edgepose.types import Event
from tests.support.body import (
    Actor,
    Scene,
    fall,
    get_up_from_lying,
    sit,
    sit_down,
    stand,
    walk,
    wave,
)

STATE = {
    "occupied",
    "count",
    "fall",
    "long_lie",
    "moving",
    "posture",
    "posture_detail",
    "still",
    "still_since_ns",
    "zones",
}
BUSY = Scene(
    (
        Actor.doing(walk(2), wave(2), fall("left", stay=14), get_up_from_lying(), stand(3)),
        Actor.doing(stand(2), sit_down(), sit(8), stand(2), at=(5, 1.2)),
    )
)


class DetectorContract(ABC):
    """Runs a detector over a scene with many acts; the subclass provides the detector."""

    @abstractmethod
    def detector(self) -> Detector:
        """Return a fresh detector."""

    def play(self, detector: Detector) -> list[Event]:
        """Return all events of the scene, with empty frames before and after it."""
        events = detector.update([], 0)
        last_ns = 0
        for moment in BUSY.observe(fps=10, seed=4):
            last_ns = moment.at_ns + NS_PER_S
            found = detector.update(moment.tracks(), last_ns)
            assert all(event.at_ns <= last_ns for event in found)
            events += found
        for second in range(1, 90):
            events += detector.update([], last_ns + second * NS_PER_S)
        return events

    def test_it_says_only_what_the_contract_lists(self) -> None:
        """Types are known, scores lie in [0, 1], data is JSON-serialisable."""
        events = self.play(self.detector())

        assert {event.type for event in events} <= set(TYPES)
        assert all(0 <= event.score <= 1 for event in events)
        assert json.dumps([dict(event.data) for event in events])

    def test_it_finds_the_same_again(self) -> None:
        """A recording replays to the same events: no clock, no randomness."""
        assert self.play(self.detector()) == self.play(self.detector())

    def test_its_state_can_be_sent_at_any_time(self) -> None:
        """The state is valid before the first frame, too; its keys are those of the contract."""
        detector = self.detector()
        before = set(detector.state)

        self.play(detector)

        assert before <= STATE
        assert set(detector.state) == before
        assert json.dumps(dict(detector.state), sort_keys=True)

    def test_it_comes_to_rest_when_everybody_has_left(self) -> None:
        """After 90 s without people the state is that of a fresh detector."""
        detector = self.detector()
        detector.update([], 0)
        fresh = json.dumps(dict(detector.state), sort_keys=True)

        self.play(detector)

        assert json.dumps(dict(detector.state), sort_keys=True) == fresh
