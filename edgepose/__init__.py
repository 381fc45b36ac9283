"""edgepose: human poses from a camera, published over MQTT or used from Python.

>>> import edgepose
>>> estimator = edgepose.PoseEstimator("posenet")
>>> people = estimator.estimate(rgb)  # doctest: +SKIP

The public API consists of the names of this module. They are loaded on first use, so that
importing `edgepose` is fast and needs no TFLite runtime.
"""

from edgepose._version import __version__ as __version__

TYPE_CHECKING = False  # avoids importing `typing`
if TYPE_CHECKING:
    from edgepose.camera.sources import open_source
    from edgepose.drawing import draw
    from edgepose.errors import (
        BrokerError,
        ConfigError,
        DelegateError,
        EdgeposeError,
        ModelError,
        SourceError,
        UsageError,
    )
    from edgepose.mqtt.messages import (
        AnyMessage,
        AvailabilityMessage,
        EventMessage,
        PersonMessage,
        PosesMessage,
        StateMessage,
        StatsMessage,
        StatusMessage,
    )
    from edgepose.mqtt.subscriber import subscribe
    from edgepose.pose.decoders import Limits
    from edgepose.pose.estimator import PoseEstimator
    from edgepose.types import KEYPOINTS, Frame, Pose

__all__ = [
    "KEYPOINTS",
    "AnyMessage",
    "AvailabilityMessage",
    "BrokerError",
    "ConfigError",
    "DelegateError",
    "EdgeposeError",
    "EventMessage",
    "Frame",
    "Limits",
    "ModelError",
    "PersonMessage",
    "Pose",
    "PoseEstimator",
    "PosesMessage",
    "SourceError",
    "StateMessage",
    "StatsMessage",
    "StatusMessage",
    "UsageError",
    "draw",
    "open_source",
    "subscribe",
]

_MODULES = {
    "KEYPOINTS": "types",
    "Frame": "types",
    "Limits": "pose.decoders",
    "Pose": "types",
    "PoseEstimator": "pose.estimator",
    "draw": "drawing",
    "open_source": "camera.sources",
    "subscribe": "mqtt.subscriber",
}
"""Module below `edgepose` by public name, except for messages and errors."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from edgepose import registry

    module = _MODULES.get(name, "mqtt.messages" if name.endswith("Message") else "errors")
    found: object = registry.load(f"edgepose.{module}:{name}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
