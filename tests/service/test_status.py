"""The status sentence and statistics of a daemon."""

from types import SimpleNamespace
from typing import Any, cast

from edgepose.service.state import DaemonState
from edgepose.service.status import sentence, stages_ms
from edgepose.timing import Durations


def state(*, connected: bool = True, trouble: str = "", **cameras: Any) -> DaemonState:
    """Build the parts of a state that the sentence needs."""
    plan = SimpleNamespace(delegate=SimpleNamespace(name="cpu"))
    publishing = Durations()
    publishing.add(2_000_000)
    link = SimpleNamespace(connected=connected, trouble=trouble, publishing=publishing)
    controls = [
        SimpleNamespace(camera=SimpleNamespace(id=id_, health=health))
        for id_, health in cameras.items()
    ]
    made = SimpleNamespace(
        estimator=SimpleNamespace(name="movenet", plan=plan),
        broker=SimpleNamespace(publisher=link),
        inference_times=Durations(),
        running_cameras=lambda: controls,
    )
    return cast(DaemonState, made)


def health(name: str, **stages: Durations) -> Any:
    return SimpleNamespace(state=name, stages=stages)


def test_a_healthy_daemon_says_what_runs_and_how_fast() -> None:
    """The sentence has the model, the delegate and the rate, if known."""
    hall = health("online")

    assert sentence(state(hall=hall)) == "movenet on cpu"
    assert sentence(state(hall=hall), 9.96) == "10.0 frames a second; movenet on cpu"


def test_what_is_wrong_is_named() -> None:
    """The sentence has the reason without a broker, and the offline cameras."""
    found = sentence(
        state(
            connected=False,
            trouble="not authorized",
            hall=health("offline"),
            yard=health("online"),
            shed=health("offline"),
        )
    )

    assert found == "movenet on cpu; no broker: not authorized; offline: hall, shed"


def test_stages_stand_in_the_order_of_the_pipeline() -> None:
    """Stages without a measurement are omitted."""
    took = Durations()
    took.add(1_000_000)
    hall = health("online", follow=took, prepare=took, compose=Durations())

    assert list(stages_ms(state(hall=hall))) == ["prepare", "follow", "publish"]
