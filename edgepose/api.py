"""What ``import edgepose`` offers."""

from edgepose.drawing import draw
from edgepose.mqtt.subscriber import subscribe
from edgepose.pose.estimator import PoseEstimator
from edgepose.types import Pose

__all__ = ["Pose", "PoseEstimator", "draw", "subscribe"]
