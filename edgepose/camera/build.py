"""Camera parts made from the configuration's tables."""

from edgepose.camera import sources
from edgepose.camera.view import View
from edgepose.config import schema
from edgepose.config.schema import Config, PoseSettings
from edgepose.people.follower import WEAK
from edgepose.pose.decoders import Limits


def limits(pose: PoseSettings) -> Limits:
    """Return what the decoder is asked for: weaker poses too, which continue a known person."""
    if pose.min_pose_score == "auto":
        return Limits(pose.max_people, share=WEAK)
    return Limits(pose.max_people, WEAK * pose.min_pose_score)


def view(camera: schema.Camera) -> View:
    """Make what turns a camera's pictures into those that are looked at."""
    return View(rotate=camera.rotate, mirror=camera.mirror, roi=camera.roi, masks=camera.masks)


def total_fps(config: Config) -> float:
    """Return how many frames per second all cameras deliver at most; 0 without cameras."""
    return sum(
        sources.rate(camera.source, fps=camera.fps, realtime=camera.realtime)
        for camera in config.cameras
    )
