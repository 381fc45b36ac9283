"""Prepares a reload: the new parts are built and checked before old ones are replaced."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from edgepose import urls
from edgepose.config.loading import with_config_location
from edgepose.config.schema import Config
from edgepose.errors import EdgeposeError
from edgepose.mqtt.options import BrokerOptions
from edgepose.pose.failover import FailoverEstimator
from edgepose.service import wiring
from edgepose.service.cameras import CameraSet
from edgepose.service.state import DaemonState

CLOSE_S: Final = 1.0  # limit for sending the remaining messages on the old connection


@dataclass(frozen=True, slots=True, eq=False)
class Changes:
    """A checked configuration and the parts built for it."""

    config: Config
    estimator: FailoverEstimator
    """The present estimator if the model does not change."""

    broker: bool
    """Whether the connection to the broker must be replaced."""


def prepare(state: DaemonState, load: Callable[[Config], FailoverEstimator]) -> Changes:
    """Read the configuration and build the parts that it changes.

    Parameters
    ----------
    load : callable
        Loads the model of a configuration.

    Raises
    ------
    EdgeposeError
        When the file is invalid, a file that it names cannot be read, or its model cannot be
        loaded. No part has been replaced then.
    """
    config, old = state.read_config(), state.config
    broker = (old.mqtt, old.device, old.homeassistant) != (
        config.mqtt,
        config.device,
        config.homeassistant,
    )
    if not urls.broker(config.mqtt.url).embedded:
        with with_config_location(state.origin):
            options = BrokerOptions.from_config(config)  # reads the password and certificates
        broker = broker or not state.broker.publisher.has_login(options)
    estimator = state.estimator
    if (config.model, config.pose) != (old.model, old.pose):
        estimator.release_delegate()
        estimator = load(config)
    return Changes(config, estimator, broker)


def replace_broker(
    state: DaemonState, new: Config, cameras: CameraSet, start: Callable[[], None]
) -> None:
    """Connect with new broker settings; on failure restore the old ones and raise.

    Parameters
    ----------
    start : callable
        Starts the connection of `state.broker`.
    """
    cameras.stop_all()  # events from now on go to the new broker
    state.broker.discovery.close()
    state.broker.publisher.close(CLOSE_S)
    try:
        state.broker = wiring.connect(new, state.clock, state.failure.report, once=state.once)
    except EdgeposeError:
        state.broker = wiring.connect(
            state.config, state.clock, state.failure.report, once=state.once
        )
        start()
        cameras.replace_changed(state.config, every=False)
        raise
    start()
