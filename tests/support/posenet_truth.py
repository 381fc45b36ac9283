"""People encoded into PoseNet's heads: ground truth for the decoder."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from edgepose.models.info import ModelInfo, Outputs, Quantisation, TensorInfo
from edgepose.pose.decoders.posenet import EDGES
from edgepose.skeleton import JOINTS
from edgepose.types import Floats, Size

FIGURE = np.array(
    [
        [0, -70], [5, -75], [-5, -75], [10, -72], [-10, -72], [20, -50], [-20, -50], [32, -20],
        [-32, -20], [36, 8], [-36, 8], [13, 10], [-13, 10], [15, 50], [-15, 50], [16, 88],
        [-16, 88],
    ],
    dtype=np.float32,
)  # fmt: skip
"""(17, 2): x and y of a standing person in front view, 160 pixels tall."""

BACKGROUND = -5.0
PEAK = 5.0


@dataclass(frozen=True)
class Scene:
    """People, and the grid of the network that sees them."""

    people: Floats
    """(P, 17, 2): x and y in model pixels."""

    grid: Size
    stride: int = 16

    @property
    def picture(self) -> Size:
        return Size(
            (self.grid.width - 1) * self.stride + 1, (self.grid.height - 1) * self.stride + 1
        )


def stand(x: float, y: float, *, scale: float = 1.0) -> Floats:
    """Return (17, 2): the joints of a person standing around a point."""
    return (FIGURE * scale + (x, y)).astype(np.float32)


def crowd(seed: int, count: int, grid: Size, *, stride: int = 16) -> Scene:
    """Return random people in random postures, with equal joints well separated."""
    random = np.random.default_rng(seed)
    width, height = (grid.width - 1) * stride, (grid.height - 1) * stride
    people: list[Floats] = []
    for _ in range(10_000):
        if len(people) == count:
            return Scene(np.array(people).reshape(-1, JOINTS, 2), grid, stride)
        scale = random.uniform(0.6, 1.2) * stride / 16
        someone = stand(0, 0, scale=scale) + random.normal(0, 4 * scale, (JOINTS, 2))
        low, high = someone.min(axis=0), someone.max(axis=0)
        room = np.array([width, height]) - (high - low)
        if (room < 0).any():
            continue
        someone += random.uniform(0, 1, 2) * room - low
        if all(np.hypot(*(someone - other).T).min() > 3 * stride for other in people):
            people.append(someone.astype(np.float32))
    raise AssertionError(f"no room for {count} people on {grid}")


def encode(scene: Scene) -> tuple[Floats, Floats, Floats, Floats]:
    """Return heat map (H, W, 17), short offset (H, W, 34), displacements forward and backward.

    As the networks are trained: in a disc around each joint the heat map is high and the
    vectors point from the cell to the joint, and to the joint's neighbours.
    """
    width, height = scene.grid
    y, x = np.mgrid[:height, :width].astype(np.float32) * scene.stride
    heatmap = np.full((height, width, JOINTS), BACKGROUND, dtype=np.float32)
    short = np.zeros((height, width, 2, JOINTS), dtype=np.float32)
    far = np.zeros((2, height, width, 2, len(EDGES)), dtype=np.float32)
    if not len(scene.people):
        return heatmap, short.reshape(height, width, -1), *far.reshape(2, height, width, -1)
    for joint in range(JOINTS):
        places = scene.people[:, joint]
        distance = np.hypot(x[..., None] - places[:, 0], y[..., None] - places[:, 1])
        owner = distance.argmin(axis=2)
        near = distance.min(axis=2)
        disc = near < 2.5 * scene.stride
        heatmap[disc, joint] = PEAK - 2 * (near[disc] / scene.stride)

        cells = np.stack([y[disc], x[disc]])
        own = scene.people[owner[disc]]
        short[disc, :, joint] = (own[:, joint, ::-1].T - cells).T
        for edge, (parent, child) in enumerate(EDGES):
            if joint == parent:
                far[0, disc, :, edge] = (own[:, child, ::-1].T - cells).T
            if joint == child:
                far[1, disc, :, edge] = (own[:, parent, ::-1].T - cells).T
    return heatmap, short.reshape(height, width, -1), *far.reshape(2, height, width, -1)


def as_outputs(
    scene: Scene,
    *,
    order: tuple[int, ...] = (0, 1, 2),
    dtype: str = "float32",
    names: tuple[str, ...] = ("heatmap", "offset", "displacement_fwd", "displacement_bwd"),
) -> Outputs:
    """Return a network's outputs; `order` of three heads (one displacement) or four."""
    heatmap, short, forward, backward = encode(scene)
    heads = [heatmap, short, forward, backward]
    if len(order) == 3:
        heads = [heatmap, short, np.concatenate([forward, backward], axis=2)]
    arrays, tensors = [], []
    for index in order:
        stored, quantisation = quantise(heads[index][None], dtype)
        arrays.append(stored)
        tensors.append(TensorInfo(names[index], stored.shape, dtype, quantisation))
    width, height = scene.picture
    picture = TensorInfo("image", (1, height, width, 3), "float32")
    return Outputs(ModelInfo("scene", (picture,), tuple(tensors)), tuple(arrays))


def quantise(real: Floats, dtype: str) -> tuple[NDArray, Quantisation | None]:
    """Quantise to 8 bits over the range of the values."""
    if dtype == "float32":
        return real, None
    lowest = np.iinfo(dtype).min
    low, high = min(float(real.min()), 0.0), max(float(real.max()), 0.0)
    scale = max((high - low) / 255, 1e-3)
    zero_point = int(lowest + round(-low / scale))
    stored = np.clip(np.round(real / scale) + zero_point, lowest, lowest + 255)
    return stored.astype(dtype), Quantisation(scale, zero_point)
