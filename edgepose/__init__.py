"""edgepose: people's poses from a camera, over MQTT or from Python.

>>> import edgepose
>>> estimator = edgepose.PoseEstimator("posenet")
>>> people = estimator.estimate(rgb)  # doctest: +SKIP
"""

from edgepose._version import __version__ as __version__

TYPE_CHECKING = False  # type checkers know the name; importing it would hold up every start
if TYPE_CHECKING:
    from edgepose.api import Pose, PoseEstimator, draw, subscribe

__all__ = ["Pose", "PoseEstimator", "draw", "subscribe"]


def __getattr__(name: str) -> object:
    # Loaded on first use: `edgepose config check` must not wait for a network runtime.
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from edgepose import api

    return getattr(api, name)
