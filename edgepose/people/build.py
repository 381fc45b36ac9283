"""Trackers, posture readers and event detectors made from the configuration's tables."""

from collections.abc import Iterator

from edgepose import registry
from edgepose.config import schema
from edgepose.config.schema import Config, PoseSettings
from edgepose.people import tracking
from edgepose.people.events import EVENTS, Detector
from edgepose.people.events.lines import Line, LineDetector
from edgepose.people.floor import Floor
from edgepose.people.follower import Follower
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.movement import MovementReader
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Zone


def births(pose: PoseSettings) -> tracking.TrackerOptions:
    """Return how tracks are made: nobody new below the score that the owner asks for."""
    return tracking.TrackerOptions(birth_score=pose.least())


def follower(config: Config, camera: schema.Camera, ids: Iterator[int] | None = None) -> Follower:
    """Make what turns one camera's poses into people over time and events.

    Parameters
    ----------
    ids : iterator of int, optional
        Where people's ids come from; the same one after a reload, so that none comes twice.
    """
    zones = [Zone.from_config(zone) for zone in camera.zones]
    return Follower(
        tracker=Tracker(births(config.pose), ids),
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
    """Make the detectors that the configuration asks for."""
    zones = [Zone.from_config(zone) for zone in camera.zones]
    asked = [registry.load(row).configured(config, zones) for row in EVENTS.values()]
    lines = [Line(line.id, line.points, line.sides) for line in camera.lines]
    asked += [LineDetector(lines)] if lines else []
    return [detector for detector in asked if detector is not None]
