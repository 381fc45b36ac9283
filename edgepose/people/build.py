"""Builds followers and event detectors from the configuration."""

from collections.abc import Iterator
from typing import Final

import msgspec

from edgepose import registry
from edgepose.config import schema
from edgepose.config.schema import Config, PoseSettings
from edgepose.people import tracking
from edgepose.people.events import EVENTS, Detector
from edgepose.people.events.lines import Line, LineDetector
from edgepose.people.floor import Floor
from edgepose.people.follower import WEAK, Follower
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.movement import MovementReader
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Zone

SURE: Final = 0.35  # upper limit of the score that an id requires, unless the minimum is higher


def tracker_options(pose: PoseSettings) -> tracking.TrackerOptions:
    """Return the tracker options for the configured minimum pose score.

    A new track gets an id once its score has reached the minimum divided by `WEAK`, or `SURE`
    if that is lower: the scores of furniture stay near the minimum.
    """
    least = pose.least()
    sure = max(least, min(least / WEAK, SURE))
    return tracking.TrackerOptions(birth_score=least, sure_score=sure)


def with_min_pose_score(config: Config, own: float) -> Config:
    """Return the configuration with `auto` replaced by `own`, the model's minimum pose score."""
    replace = msgspec.structs.replace
    return replace(config, pose=replace(config.pose, min_pose_score=config.pose.least(own)))


def follower(config: Config, camera: schema.Camera, ids: Iterator[int] | None = None) -> Follower:
    """Create the follower of one camera: tracker, smoother, readers and event detectors.

    Parameters
    ----------
    ids : iterator of int, optional
        Source of track ids. Pass the same one after a reload, so that no id is used twice.
    """
    zones = [Zone.from_config(zone) for zone in camera.zones]
    return Follower(
        tracker=Tracker(tracker_options(config.pose), ids),
        smoother=Smoother() if config.pose.smoothing == "one-euro" else None,
        zones=zones,
        posture=PostureReader(config.pose.min_keypoint_score),
        movement=MovementReader(config.pose.min_keypoint_score),
        kinematics=KinematicsReader(
            Floor.from_config(camera.floor, camera.id), config.pose.min_keypoint_score
        ),
        detectors=detectors(config, camera),
        searches=config.events.fall,
    )


def detectors(config: Config, camera: schema.Camera) -> list[Detector]:
    """Create the event detectors that the configuration enables."""
    zones = [Zone.from_config(zone) for zone in camera.zones]
    asked = [registry.load(row).from_config(config, zones) for row in EVENTS.values()]
    lines = [Line(line.id, line.points, line.sides) for line in camera.lines]
    asked += [LineDetector(lines)] if lines else []
    return [detector for detector in asked if detector is not None]
