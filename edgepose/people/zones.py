"""Zones on the floor, and the ground points of people."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final, Literal, Self

from edgepose.config.schema import CameraZone

if TYPE_CHECKING:
    from edgepose.types import Floats, Pose, Size, Track

Point = tuple[float, float]

BORDER: Final = 1e-9  # parts of the frame: tolerance; far below a pixel, far above float error

EDGE: Final = 0.015  # parts of the frame: margin; pose models seldom reach the last pixels

# Heights of joints as parts of the stature: shoulders 0.818, hips 0.530, knees 0.285,
# ankles 0.039 (Drillis and Contini 1966, as in Winter, "Biomechanics and Motor Control
# of Human Movement", figure 4.1).
SHANK_PER_THIGH: Final = (0.285 - 0.039) / (0.530 - 0.285)
SHANK_PER_TORSO: Final = (0.285 - 0.039) / (0.818 - 0.530)
LEG_PER_TORSO: Final = (0.530 - 0.039) / (0.818 - 0.530)


@dataclass(frozen=True, slots=True)
class Zone:
    """A named polygon on the floor."""

    id: str
    polygon: tuple[Point, ...]
    """Corners as parts of the frame: (0, 0) is its top left, (1, 1) its bottom right."""

    kind: Literal["area", "rest"] = "area"
    """`rest`: lying here is no fall."""

    dwell_s: float = 0.0
    """Length of a stay in seconds that raises `zone_dwelling`; 0 for never."""

    min_dwell_s: float = 0.0
    """Minimum length in seconds of a stay that counts."""

    @classmethod
    def from_config(cls, zone: CameraZone) -> Self:
        """Create a zone from its configuration table."""
        return cls(zone.id, zone.polygon, zone.kind, zone.dwell_s, zone.min_dwell_s)

    def contains(self, point: Point) -> bool:
        """Whether a point, in parts of the frame, lies inside or on the border."""
        inside = False
        previous = self.polygon[-1]
        for corner in self.polygon:
            if _on_edge(point, previous, corner):
                return True
            if _crosses_edge(point, previous, corner):
                inside = not inside
            previous = corner
        return inside


def _on_edge(point: Point, start: Point, end: Point) -> bool:
    """Whether a point lies on the edge between two corners, within `BORDER`."""
    (x, y), (x0, y0), (x1, y1) = point, start, end
    along, across = (x1 - x0, y1 - y0), (x - x0, y - y0)
    length = max(abs(along[0]), abs(along[1]))
    if abs(along[0] * across[1] - along[1] * across[0]) > BORDER * length:
        return False
    return (
        min(x0, x1) - BORDER <= x <= max(x0, x1) + BORDER
        and min(y0, y1) - BORDER <= y <= max(y0, y1) + BORDER
    )


def _crosses_edge(point: Point, start: Point, end: Point) -> bool:
    """Whether a rightward ray from the point crosses the edge (even-odd rule)."""
    (x, y), (x0, y0), (x1, y1) = point, start, end
    if (y0 > y) == (y1 > y):
        return False
    return x < x0 + (y - y0) / (y1 - y0) * (x1 - x0)


def ground_point(pose: "Pose", min_score: float = 0.3) -> Point:
    """Return the point on the floor where a person stands, in frame pixels.

    The midpoint of the ankles, or the only visible ankle. Where both are hidden, each leg
    is extended from the knee: along the thigh if the leg is straight, down the picture by
    the length of a shank if it is bent (a seat). Where the knees are hidden too, from the
    hips by the length of a leg, away from the shoulders. Otherwise the middle of the
    box's lower side.

    Parameters
    ----------
    pose : Pose
        A person in frame pixels.
    min_score : float
        Joints below this score count as hidden.

    Returns
    -------
    (x, y)
        In frame pixels; outside of the frame where the feet are.
    """
    from edgepose import skeleton as s

    points = pose.keypoints
    ankles = _sure_points(points, (s.LEFT_ANKLE, s.RIGHT_ANKLE), min_score)
    if ankles:
        return _mean_point(ankles)

    shoulders = _sure_points(points, (s.LEFT_SHOULDER, s.RIGHT_SHOULDER), min_score)
    shoulder = _mean_point(shoulders) if shoulders else None
    feet = [
        _below_knee(leg[0], leg[1], shoulder)
        for joints in ((s.LEFT_HIP, s.LEFT_KNEE), (s.RIGHT_HIP, s.RIGHT_KNEE))
        if len(leg := _sure_points(points, joints, min_score)) == 2
    ]
    if feet:
        return _mean_point(feet)

    hips = _sure_points(points, (s.LEFT_HIP, s.RIGHT_HIP), min_score)
    if hips and shoulder:
        hip = _mean_point(hips)
        return (
            hip[0] + LEG_PER_TORSO * (hip[0] - shoulder[0]),
            hip[1] + LEG_PER_TORSO * (hip[1] - shoulder[1]),
        )
    return pose.box.x + pose.box.width / 2, pose.box.y + pose.box.height


def _below_knee(hip: Point, knee: Point, shoulder: Point | None) -> Point:
    """Estimate the ankle from hip and knee."""
    thigh = (knee[0] - hip[0], knee[1] - hip[1])
    if shoulder is None:
        return knee[0] + SHANK_PER_THIGH * thigh[0], knee[1] + SHANK_PER_THIGH * thigh[1]
    torso = (hip[0] - shoulder[0], hip[1] - shoulder[1])
    # A thigh within 45 degrees of the torso's direction is straight: standing or lying.
    along = torso[0] * thigh[0] + torso[1] * thigh[1]
    aside = abs(torso[0] * thigh[1] - torso[1] * thigh[0])
    if along > aside:
        return knee[0] + SHANK_PER_THIGH * thigh[0], knee[1] + SHANK_PER_THIGH * thigh[1]
    length = (torso[0] ** 2 + torso[1] ** 2) ** 0.5
    return knee[0], knee[1] + SHANK_PER_TORSO * length


def _sure_points(points: "Floats", joints: tuple[int, ...], min_score: float) -> list[Point]:
    """Return the positions of the joints from `min_score` on, in order."""
    return [
        (float(points[joint, 0]), float(points[joint, 1]))
        for joint in joints
        if points[joint, 2] >= min_score
    ]


def _mean_point(points: Sequence[Point]) -> Point:
    return sum(x for x, _ in points) / len(points), sum(y for _, y in points) / len(points)


def mark_cut(tracks: "Sequence[Track]", size: "Size") -> "list[Track]":
    """Return the tracks with `cut` set: whether the box reaches the frame's edge."""
    return [replace(track, cut=_is_cut(track.pose, size)) for track in tracks]


def _is_cut(pose: "Pose", size: "Size") -> bool:
    left, top, width, height = pose.box
    x, y = EDGE * size.width, EDGE * size.height
    inside = left >= x and top >= y
    return not (inside and left + width <= size.width - x and top + height <= size.height - y)


def locate(
    tracks: "Sequence[Track]", zones: Sequence[Zone], size: "Size", min_score: float = 0.3
) -> "list[Track]":
    """Return the tracks with ground point, frame size and zones set.

    The track's zones are in the order of `zones`. They are those at the ground point clamped to
    the frame, so that a zone at the edge also contains people with their feet out of view.
    """
    placed = [replace(t, ground=ground_point(t.pose, min_score), frame=size) for t in tracks]
    if not zones:
        return placed
    return [replace(t, zones=_zones_at(t.ground, zones, size)) for t in placed if t.ground]


def _zones_at(ground: Point, zones: Sequence[Zone], size: "Size") -> tuple[str, ...]:
    x, y = ground
    # The centre of the first pixel is (0, 0); the frame begins half a pixel before it.
    at = _share_of((x + 0.5) / size.width), _share_of((y + 0.5) / size.height)
    return tuple(zone.id for zone in zones if zone.contains(at))


def _share_of(value: float) -> float:
    return min(1.0, max(0.0, value))
