"""Print the errors of positions, heights, headings and speeds in metres: docs/events.md.

python -m benchmarks.metres

Generated bodies before known cameras, 1280 x 720 and 80 degrees wide, 1.5 and 2.5 m high. The floor
is a rectangle of 2 by 2 m, 3 to 5 m away.
"""

import argparse
import math
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np

from edgepose.people.events.fall_speed import SUSPECTED
from edgepose.people.events.falls import FallDetector
from edgepose.people.floor import Floor
from edgepose.people.kinematics import KinematicsReader
from edgepose.people.posture import PostureReader
from edgepose.people.smoothing import Smoother
from edgepose.people.tracking import Tracker
from edgepose.people.zones import Point, locate, mark_cut
from edgepose.types import Event, Place, Track
from tests.support.body import Actor, Camera, Moment, Scene, stand, walk
from tests.support.scenes import case

CAMERAS: Final = tuple(Camera(height, fov_deg=80).aimed_at(4.0, 0.6) for height in (1.5, 2.5))
CORNERS: Final = ((3.0, 1.0), (3.0, -1.0), (5.0, -1.0), (5.0, 1.0))
ASIDE_M: Final = (-0.75, -0.25, 0.25, 0.75)
ERRORS: Final = 5  # directions in which a point of the floor is off, for each body
FIRST: Final = 51_000  # seeds on which nothing was chosen
HALF_S: Final = 0.5
STEP_S: Final = 0.05
FALLS: Final = ("fall", "slow fall", "collapse", "fall from a chair")


def floor(camera: Camera, moved_px: float = 0, seed: int = 0) -> Floor:
    """Return the calibration of a camera, one of whose points may be off."""
    pixels, _ = camera.project(np.array([(*corner, 0.0) for corner in CORNERS]))
    rng = np.random.default_rng(seed)
    angle = rng.uniform(0, 2 * np.pi)
    pixels[rng.integers(4)] += moved_px * np.array([np.cos(angle), np.sin(angle)])
    parts = (pixels + 0.5) / [camera.size.width, camera.size.height]
    return Floor(tuple((float(x), float(y)) for x, y in parts), CORNERS, "hall")


def positions(distance: float, moved_px: float) -> Iterator[tuple[float, float | None]]:
    """Yield the error of the position and the height of the head, in metres."""
    for camera in CAMERAS:
        for aside in ASIDE_M:
            actor = Actor.doing(stand(1), at=(distance, aside))
            (track,) = next(iter(Scene((actor,), camera).truth())).tracks()
            for seed in range(ERRORS if moved_px else 1):
                reader = KinematicsReader(floor(camera, moved_px, seed))
                place = read(reader, [track], 0, camera)[0].place
                if place is not None:
                    yield math.dist(place.at, (distance, aside)), place.height


def read(
    reader: KinematicsReader, tracks: Sequence[Track], at_ns: int, camera: Camera
) -> list[Track]:
    """Return the tracks with their places."""
    placed = locate(mark_cut(tracks, camera.size), (), camera.size)
    return reader.update(placed, at_ns, camera.size)


def places(actor: Actor, camera: Camera, seed: int) -> Iterator[tuple[float, Place]]:
    """Yield the places of a body as the daemon sees it, with their seconds."""
    tracker, smoother, reader = Tracker(), Smoother(), KinematicsReader(floor(camera))
    for moment in Scene((actor,), camera).observe(10, seed):
        tracks = _tracked(tracker, smoother, moment)
        for track in read(reader, tracks, moment.at_ns, camera):
            if track.place is not None and moment.seconds > 1.5:
                yield moment.seconds, track.place


def _tracked(tracker: Tracker, smoother: Smoother, moment: Moment) -> list[Track]:
    poses = list(moment.people.values())
    return smoother.smooth(tracker.update(poses, moment.at_ns), moment.at_ns)


def standing_speeds(distance: float) -> list[float]:
    """Return the speeds of bodies that stand still."""
    return [
        place.speed
        for n, camera in enumerate(CAMERAS)
        for seed in range(FIRST + 20 * n, FIRST + 20 * n + 10)
        for _, place in places(Actor.doing(stand(8), at=(distance, 0.3)), camera, seed)
        if place.speed is not None
    ]


def walks(speed: float) -> tuple[list[float], list[float], float]:
    """Return the errors of headings in degrees, those of speeds, and the part with a heading."""
    turned: list[float] = []
    slips: list[float] = []
    seen = 0
    for seed in range(FIRST, FIRST + 24):
        heading = 15.0 * (seed - FIRST)
        start = walk_start(heading, speed)
        actor = Actor.doing(walk(3, speed), at=start, heading_deg=heading)
        for _, place in places(actor, CAMERAS[seed % 2], seed):
            seen += 1
            if place.speed is not None:
                slips.append(abs(place.speed - speed))
            if place.heading_deg is not None:
                turned.append(abs((place.heading_deg - heading + 180) % 360 - 180))
    return turned, slips, len(turned) / seen


def walk_start(heading_deg: float, speed: float) -> Point:
    """Return where a walk of three seconds begins that leads through the floor's middle."""
    towards, way = math.radians(heading_deg), 1.5 * speed
    return 4.0 - way * math.cos(towards), -way * math.sin(towards)


def falls() -> Iterator[tuple[float, float | None, float]]:
    """Yield the true speed, the speed told, and that of body heights times the stature."""
    for kind in FALLS:
        for seed in range(FIRST, FIRST + 15):
            one = case(kind, seed)
            event = _suspicion(one.scene, one.fps, seed)
            if event is not None and "speed_heights" in event.data:
                actor = one.scene.actors[0]
                heights_s = event.data["speed_heights"]
                yield _true_speed(actor), event.data.get("speed"), heights_s * actor.build.stature


def _suspicion(scene: Scene, fps: float, seed: int) -> Event | None:
    tracker, smoother, postures = Tracker(), Smoother(), PostureReader()
    reader, detector = KinematicsReader(floor(scene.camera)), FallDetector()
    for moment in scene.observe(fps, seed):
        tracks = postures.update(_tracked(tracker, smoother, moment), moment.at_ns)
        tracks = read(reader, tracks, moment.at_ns, scene.camera)
        for event in detector.update(tracks, moment.at_ns):
            if event.type == SUSPECTED:
                return event
    return None


def _true_speed(actor: Actor) -> float:
    """Return the largest mean speed of shoulders and hips within half a second, in space."""
    seconds = np.arange(0, actor.seconds, STEP_S)
    start = next(label.start_s for label in actor.labels() if label.name == "fall")
    near = (seconds > start - HALF_S) & (seconds < start + 3)
    body = actor.joints(seconds[near])
    later = round(HALF_S / STEP_S)
    moved = [
        np.linalg.norm(body[later:, k : k + 2].mean(axis=1) - body[:-later, k : k + 2].mean(axis=1),
                       axis=1).max()
        for k in (5, 11)
    ]  # fmt: skip
    return float(sum(moved)) / 2 / HALF_S


def main() -> None:
    """Print the tables as Markdown."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    out("error of the position, cm: median, 90th percentile", "at 2 m", "at 4 m", "at 6 m")
    out(*["---"] * 4)
    for name, moved_px in (("all points right", 0.0), ("one point 5 pixels off", 5.0)):
        rows = [list(positions(distance, moved_px)) for distance in (2, 4, 6)]
        out(name, *(spread((100 * error for error, _ in row), 1) for row in rows))
        tall = [[h for _, h in row if h is not None] for row in rows]
        out("height of the head, standard deviation, cm", *(f"{100 * np.std(h):.1f}" for h in tall))
    out("speed of a body that stands, m/s",
        *(spread(standing_speeds(distance), 2) for distance in (2, 4, 6)))  # fmt: skip
    sys.stdout.write("\n")
    out("who walks at", "error of the heading, degrees", "of the speed, m/s", "with a heading")
    out(*["---"] * 4)
    for speed in (0.5, 0.8, 1.2):
        turned, slips, part = walks(speed)
        out(f"{speed} m/s", spread(turned, 0), spread(slips, 2), f"{part:.0%}")
    told = list(falls())
    with_floor = [(speed, true) for true, speed, _ in told if speed is not None]
    sys.stdout.write("\nspeed of falls as a part of the true one: 10th percentile, median, 90th\n")
    for name, pairs in (("m/s", with_floor), ("body heights", [(s, t) for t, _, s in told])):
        parts = np.quantile([speed / true for speed, true in pairs], (0.1, 0.5, 0.9))
        words = ", ".join(f"{part:.2f}" for part in parts)
        sys.stdout.write(f"{name}: {words} ({len(pairs)} of {15 * len(FALLS)} falls)\n")


def spread(values: Iterable[float], decimals: int) -> str:
    """Return median and 90th percentile."""
    middle, high = np.quantile(list(values), (0.5, 0.9))
    return f"{middle:.{decimals}f}, {high:.{decimals}f}"


def out(*cells: object) -> None:
    """Print one row of a Markdown table."""
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
