"""Checks of a configuration beyond the types of its fields."""

from collections.abc import Iterator, Sequence
from ipaddress import ip_address
from itertools import pairwise
from typing import Final

from edgepose.config import toml
from edgepose.config.error_messages import Problem, expected
from edgepose.config.schema import Camera, CameraFloor, CameraLine, Config, GestureRule, Mqtt
from edgepose.errors import ConfigError
from edgepose.urls import Address, address, broker

RESERVED: Final = frozenset({"availability", "status", "stats", "request", "response"})
"""Topics of the device, which a camera's id must not equal."""

EVERY_ADDRESS: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104: only compared
TOLERANCE: Final = 1e-6  # 0.1 + 0.9 may slightly exceed 1


def semantic_errors(config: Config) -> Iterator[Problem]:
    """Yield problems between values, which the types of single fields cannot express."""
    yield from _check_mqtt(config.mqtt)
    yield from _check_listeners(config)
    yield from _check_proxies(config.web.trusted_proxies)
    yield from _check_gestures(config.gestures)
    cameras = [(("camera", index), camera) for index, camera in enumerate(config.cameras)]
    yield from _duplicate_ids([(path, camera.id) for path, camera in cameras])
    for path, camera in cameras:
        yield from _check_camera(path, camera)


def _check_proxies(addresses: Sequence[str]) -> Iterator[Problem]:
    for index, given in enumerate(addresses):
        try:
            ip_address(given)
        except ValueError:
            path = ("web", "trusted_proxies", index)
            yield Problem(path, expected(path, given, 'an IP address such as "172.30.32.2"'))


def _check_mqtt(mqtt: Mqtt) -> Iterator[Problem]:
    try:
        asked = broker(mqtt.url)
    except ValueError:
        what = 'mqtt://HOST:PORT, mqtts://HOST:PORT, "embedded" or "embedded:PORT"'
        path = ("mqtt", "url")
        # The part before "@" may be a password, even in an invalid URL.
        found = mqtt.url.rpartition("@")[-1]
        found = mqtt.url if found == mqtt.url else f"***@{found}"
        yield Problem(path, expected(path, found, what))
        return
    for name in ("ca_file", "cert_file", "key_file"):
        found, path = getattr(mqtt, name), ("mqtt", name)
        if found and not asked.tls:
            what = "it only with a url that begins with mqtts://"
            yield Problem(path, expected(path, found, what))
    if mqtt.key_file and not mqtt.cert_file:
        path = ("mqtt", "key_file")
        yield Problem(path, expected(path, mqtt.key_file, "a cert_file beside it"))


def _check_listeners(config: Config) -> Iterator[Problem]:
    places = []
    for table, listen in (("metrics", config.metrics.listen), ("web", config.web.listen)):
        try:
            place = address(listen)
        except ValueError:
            path = (table, "listen")
            what = 'HOST:PORT such as "127.0.0.1:8600", or "" for off'
            yield Problem(path, expected(path, listen, what))
        else:
            places += [place] if place and place.port else []
    if len(places) == 2 and _share_port(*places):
        what = f"another port than metrics.listen, which is {config.metrics.listen}"
        yield Problem(("web", "listen"), expected(("web", "listen"), config.web.listen, what))
    if config.web.key_file and not config.web.cert_file:
        path = ("web", "key_file")
        yield Problem(path, expected(path, config.web.key_file, "a cert_file beside it"))


def _share_port(a: Address, b: Address) -> bool:
    """Return whether two listeners cannot both be opened."""
    return a.port == b.port and (a.host == b.host or bool({a.host, b.host} & EVERY_ADDRESS))


def _check_gestures(own: Sequence[GestureRule]) -> Iterator[Problem]:
    placed: list[tuple[toml.Path, GestureRule]] = [
        (("gesture", index), gesture) for index, gesture in enumerate(own)
    ]
    yield from _duplicate_ids([(path, gesture.id) for path, gesture in placed])
    for path, gesture in placed:
        try:
            gesture.rule()
        except ConfigError as error:
            yield Problem(path, f"{toml.spell(path)}: {error}")


def _duplicate_ids(ids: Sequence[tuple[toml.Path, str]]) -> Iterator[Problem]:
    """Yield a problem for each id that an earlier table of the same kind uses."""
    first: dict[str, toml.Path] = {}
    for path, id_ in ids:
        if first.setdefault(id_, path) != path:
            what = f"another id; {toml.spell(first[id_])} has this one"
            yield Problem((*path, "id"), expected((*path, "id"), id_, what))


def _check_camera(path: toml.Path, camera: Camera) -> Iterator[Problem]:
    if camera.id in RESERVED:
        what = "another id; a topic of the device has this name"
        yield Problem((*path, "id"), expected((*path, "id"), camera.id, what))
    x, y, width, height = camera.roi
    if min(width, height) <= 0 or max(x + width, y + height) > 1 + TOLERANCE:
        what = "[x, y, width, height] with x + width and y + height at most 1, none of it empty"
        yield Problem((*path, "roi"), expected((*path, "roi"), camera.roi, what))
    for index, mask in enumerate(camera.masks):
        yield from _check_polygon((*path, "masks", index), mask)
    zones = [((*path, "zone", index), zone) for index, zone in enumerate(camera.zones)]
    yield from _duplicate_ids([(place, zone.id) for place, zone in zones])
    for place, zone in zones:
        yield from _check_polygon((*place, "polygon"), zone.polygon)
    lines = [((*path, "line", index), line) for index, line in enumerate(camera.lines)]
    yield from _duplicate_ids([(place, line.id) for place, line in lines])
    for place, line in lines:
        yield from _check_line(place, line)
    yield from _check_floor((*path, "floor"), camera.floor)


def _check_floor(path: toml.Path, floor: CameraFloor) -> Iterator[Problem]:
    for key, given in (("points", floor.points), ("metres", floor.metres)):
        if len(given) not in {0, 4} or (given and _is_not_convex(given)):
            what = "four points in order around, no three of them on a line"
            yield Problem((*path, key), expected((*path, key), given, what))
    if floor.metres and not floor.points:
        what = "four points of the picture to these places"
        yield Problem((*path, "points"), expected((*path, "points"), floor.points, what))


def _is_not_convex(points: tuple[tuple[float, float], ...]) -> bool:
    """Return whether four points are not the corners of a convex shape in order."""
    turns = [
        (b[0] - a[0]) * (c[1] - b[1]) - (b[1] - a[1]) * (c[0] - b[0])
        for a, b, c in zip(points, points[1:] + points[:1], points[2:] + points[:2], strict=True)
    ]
    return not (min(turns) > TOLERANCE or max(turns) < -TOLERANCE)


def _check_line(path: toml.Path, line: CameraLine) -> Iterator[Problem]:
    if line.sides[0] == line.sides[1]:
        what = "two different ids"
        yield Problem((*path, "sides"), expected((*path, "sides"), line.sides, what))
    if any(a == b for a, b in pairwise(line.points)):
        what = "points that differ from the one before"
        yield Problem((*path, "points"), expected((*path, "points"), line.points, what))


def _check_polygon(path: toml.Path, corners: Sequence[tuple[float, float]]) -> Iterator[Problem]:
    """Yield a problem if edges of a polygon cross: its inside is not defined then."""
    edges = list(zip(corners, [*corners[1:], corners[0]], strict=True))
    if crossing := _crossing_edges(edges):
        i, j = crossing
        what = f"corners in order around it; the edges after corners {i} and {j} cross"
        yield Problem(path, expected(path, corners, what))
        return
    doubled = sum(a[0] * b[1] - b[0] * a[1] for a, b in edges)
    if abs(doubled) < TOLERANCE:
        yield Problem(path, expected(path, corners, "corners that do not lie on one line"))


Edge = tuple[tuple[float, float], tuple[float, float]]


def _crossing_edges(edges: Sequence[Edge]) -> tuple[int, int] | None:
    """Return the numbers, from 1, of two edges that cross; None if there are none.

    Sweeps along the axis on which edges are shorter, and compares only edges whose ranges
    overlap. This is fast for hand-drawn polygons with thousands of corners.
    """
    lengths = [sum(abs(b[axis] - a[axis]) for a, b in edges) for axis in (0, 1)]
    axis = lengths.index(min(lengths))
    numbered = sorted(enumerate(edges, 1), key=lambda item: min(p[axis] for p in item[1]))
    open_: list[tuple[int, Edge]] = []
    for number, edge in numbered:
        start = min(p[axis] for p in edge)
        open_ = [(i, other) for i, other in open_ if max(p[axis] for p in other) > start]
        for i, other in open_:
            if _do_cross(other, edge):
                return min(i, number), max(i, number)
        open_.append((number, edge))
    return None


def _do_cross(a: Edge, b: Edge) -> bool:
    """Return whether two edges cross between their ends; touching does not count."""

    def side(edge: Edge, point: tuple[float, float]) -> float:
        (x0, y0), (x1, y1) = edge
        return (x1 - x0) * (point[1] - y0) - (y1 - y0) * (point[0] - x0)

    return side(a, b[0]) * side(a, b[1]) < 0 and side(b, a[0]) * side(b, a[1]) < 0
