"""The daemon as the page sees it: an implementation of `web.bridge.launcher.PageHost`."""

from collections.abc import Callable

from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.mqtt.topics import Topics
from edgepose.service.state import DaemonState
from edgepose.types import Frame


class DaemonPageHost:
    """Gives the page the state of a daemon and passes its commands on.

    Parameters
    ----------
    change : callable
        Applies settings to a camera as `C/set` does; raises `CommandError`.
    """

    def __init__(self, state: DaemonState, change: Callable[[str, bytes], None]) -> None:
        self._state = state
        self.change_settings = change
        self.request_reload = state.request_reload

    @property
    def config(self) -> Config:
        """The configuration in force."""
        return self._state.config

    @property
    def origin(self) -> Origin | None:
        """Where the configuration is read again."""
        return self._state.origin

    @property
    def topics(self) -> Topics:
        """The device's topics."""
        return self._state.broker.topics

    @property
    def engine_threads(self) -> int:
        """How many cores the model takes; 0 before it is loaded."""
        return self._state.engine_threads

    def show_cameras(self, cameras: frozenset[str]) -> None:
        """Take which cameras the page shows: their motion gates stay open."""
        self._state.shown_cameras = cameras

    def newest_frame(self, camera: str) -> Frame | None:
        """Return the frame that a camera's latest message is about, with its picture."""
        control = self._state.cameras.get(camera)
        return None if control is None else control.snapshots.newest
