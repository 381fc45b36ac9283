"""Cameras of a running daemon: early settings, and the frame budget."""

from collections.abc import Callable, Iterator

import pytest

from edgepose.config.loading import loads
from edgepose.mqtt.requests import Settings
from edgepose.pose.failover import FailoverEstimator
from edgepose.service import wiring
from edgepose.service.cameras import CameraSet
from edgepose.service.state import DaemonState
from edgepose.timing import Clock

CONFIG = """
[mqtt]
url = "mqtt://127.0.0.1:1"
[model]
name = "movenet-lightning"
[[camera]]
id = "hall"
source = "demo://"
"""


@pytest.fixture
def state() -> Iterator[DaemonState]:
    config = loads(CONFIG, "test")
    made = wiring.new_state(config, None, once=False, clock=Clock())
    yield made
    made.broker.publisher.close(1)


@pytest.fixture
def load(state: DaemonState) -> Callable[[], FailoverEstimator]:
    def load_model() -> FailoverEstimator:
        estimator = wiring.estimator(state.config, state.selector, state.clock, lambda: None)
        state.loaded_estimator = estimator
        return estimator

    return load_model


def test_settings_that_come_before_the_model_are_kept(
    state: DaemonState, load: Callable[[], FailoverEstimator]
) -> None:
    """Commands received before a camera exists are applied when it starts."""
    cameras = CameraSet(state)

    cameras.apply_settings("hall", Settings(paused=True, fps=3))
    before = set(state.cameras)
    load()
    cameras.start("hall")
    paused = state.cameras["hall"].camera._paused
    cameras.stop_all()

    assert before == set()
    assert state.camera_ids == {"hall"}
    assert state.broker.overrides.is_paused("hall")
    assert paused


def test_the_frame_budget_is_set_by_the_main_thread(
    state: DaemonState, load: Callable[[], FailoverEstimator], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker's thread does not set it, since it may measure networks for seconds."""
    cameras, given = CameraSet(state), []
    estimator = load()
    monkeypatch.setattr(estimator, "set_frame_budget", given.append)
    cameras.update_frame_budget()
    given.clear()

    cameras.apply_settings("hall", Settings(fps=4))
    by_the_other_thread = list(given)
    for _ in range(2):
        cameras.update_frame_budget()

    assert by_the_other_thread == []
    assert given == [4]


def test_the_estimator_is_an_error_before_it_is_loaded(state: DaemonState) -> None:
    """Accessing the estimator before it is loaded raises RuntimeError."""
    assert state.engine_threads == 0
    with pytest.raises(RuntimeError, match="not loaded"):
        state.estimator  # noqa: B018  # the attribute is what is asked for
