"""What ``import edgepose`` offers."""

from edgepose.drawing import draw
from edgepose.estimator import PoseEstimator
from edgepose.structures import Pose
from edgepose.subscriber import subscribe

__all__ = ["Pose", "PoseEstimator", "draw", "subscribe"]
