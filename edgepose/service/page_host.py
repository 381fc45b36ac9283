"""The daemon's implementation of `web.bridge.launcher.PageHost`."""

from collections.abc import Callable

from edgepose.config.loading import Origin
from edgepose.config.schema import Config
from edgepose.mqtt.topics import Topics
from edgepose.service.state import DaemonState
from edgepose.types import Frame


class DaemonPageHost:
    """Gives the page access to a daemon's state and commands.

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
        """The current configuration."""
        return self._state.config

    @property
    def origin(self) -> Origin | None:
        """Where a reload reads the configuration from; None without a file."""
        return self._state.origin

    @property
    def topics(self) -> Topics:
        """The device's topics."""
        return self._state.broker.topics

    @property
    def engine_threads(self) -> int:
        """Number of cores that the model uses; 0 before it is loaded."""
        return self._state.engine_threads

    def show_cameras(self, cameras: frozenset[str]) -> None:
        """Set which cameras the page shows; their motion gates stay open."""
        self._state.shown_cameras = cameras

    def newest_frame(self, camera: str) -> Frame | None:
        """Return the frame, with its image, of a camera's latest message; None if there is none."""
        control = self._state.cameras.get(camera)
        return None if control is None else control.snapshots.newest
