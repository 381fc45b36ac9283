"""Build a camera's parts from the configuration."""

from typing import Final

from edgepose.camera import sources
from edgepose.camera.view import ImageTransform
from edgepose.config import schema
from edgepose.config.schema import Config, PoseSettings
from edgepose.people.follower import WEAK
from edgepose.pose.decoders import Limits

LEAST_STILL_FPS: Final = 5.0  # gestures and tracks survive gaps of 0.2 s, not of 0.4 s


def limits(pose: PoseSettings) -> Limits:
    """Return the decoder's limits.

    The minimum score is `WEAK` times the configured one: weaker poses continue existing tracks.
    """
    if pose.min_pose_score == "auto":
        return Limits(pose.max_people, share=WEAK)
    return Limits(pose.max_people, WEAK * pose.min_pose_score)


def still_fps(pose: PoseSettings, fps: float) -> float:
    """Return the inference rate in Hz while people are in view and nothing moves."""
    return pose.still_fps or max(LEAST_STILL_FPS, fps / 2)


def view(camera: schema.Camera) -> ImageTransform:
    """Return the transform of a camera: rotation, mirroring, region of interest and masks."""
    return ImageTransform(
        rotate=camera.rotate, mirror=camera.mirror, roi=camera.roi, masks=camera.masks
    )


def total_fps(config: Config) -> float:
    """Return the sum of the cameras' maximum frame rates in Hz; 0 without cameras."""
    return sum(
        sources.rate(camera.source, fps=camera.fps, realtime=camera.realtime)
        for camera in config.cameras
    )
