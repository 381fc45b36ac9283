"""Make a harder set from a small one: its pictures side by side, smaller, some mirrored.

Run from the repository: ``python -m benchmarks.collages IMAGES ANNOTATIONS OUT``, then
``edgepose eval`` on what is in OUT. People of forty to two hundred pixels in pictures of
640 by 480 are what the pictures of COCO show; the people are the same few, so the set
says something about sizes and crowds and little about anything else.
"""

import argparse
import json
from pathlib import Path
from typing import Any, Final

import cv2
import numpy as np

from edgepose import evaluation
from edgepose.skeleton import JOINTS, MIRRORED
from edgepose.sources.files import read_picture
from edgepose.structures import Image, Size

COUNT: Final = 60
SIZES: Final = (Size(640, 480), Size(640, 480), Size(480, 640))
AT_ONCE: Final = 3
SHRINK: Final = (0.55, 1.0)  # of what would fill a picture's part of the collage
SEED: Final = 7

Annotation = dict[str, Any]


def main() -> None:
    """Write pictures and annotations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    truth = evaluation.read(args.annotations, args.images)
    people: dict[int, list[Annotation]] = {picture.id: [] for picture in truth.pictures}
    for entry in truth.data["annotations"]:
        people[entry["image_id"]].append(entry)
    scenes = [(read_picture(picture.path), people[picture.id]) for picture in truth.pictures]
    (args.out / "images").mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(SEED)
    images, annotations = [], []
    for number in range(COUNT):
        canvas, entries = collage(scenes, SIZES[number % len(SIZES)], draw)
        name = f"{number:03}.png"
        cv2.imwrite(str(args.out / "images" / name), cv2.cvtColor(canvas, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": name})
        annotations += [entry | {"image_id": number} for entry in entries]
    data = {
        "images": images,
        "annotations": [entry | {"id": n} for n, entry in enumerate(annotations, start=1)],
        "categories": truth.data["categories"],
    }
    (args.out / "person_keypoints.json").write_text(json.dumps(data), "utf-8")


def collage(
    scenes: list[tuple[Image, list[Annotation]]], size: Size, draw: np.random.Generator
) -> tuple[Image, list[Annotation]]:
    """Put a few pictures into strips of one."""
    canvas = np.full((size.height, size.width, 3), draw.integers(60, 190, 3), dtype=np.uint8)
    upright = draw.random() < 0.5
    chosen = draw.choice(len(scenes), draw.integers(1, AT_ONCE + 1), replace=False)
    entries: list[Annotation] = []
    for part, index in enumerate(chosen):
        image, people = scenes[index]
        strip = np.array([0, 0, size.width, size.height])
        along = 0 if upright else 1
        strip[along + 2] //= len(chosen)
        strip[along] = part * strip[along + 2]
        entries += put(canvas, strip, image, people, draw)
    return canvas, entries


def put(
    canvas: Image,
    strip: np.ndarray[Any, Any],
    image: Image,
    people: list[Annotation],
    draw: np.random.Generator,
) -> list[Annotation]:
    """Shrink a picture into a strip ``x, y, width, height`` and move its people along."""
    rows, columns = image.shape[:2]
    scale = min(strip[2] / columns, strip[3] / rows) * draw.uniform(*SHRINK)
    width, height = max(1, int(columns * scale)), max(1, int(rows * scale))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    small = cv2.resize(image, (width, height), interpolation=how)
    mirrored = draw.random() < 0.5
    x = int(strip[0] + draw.integers(0, strip[2] - width + 1))
    y = int(strip[1] + draw.integers(0, strip[3] - height + 1))
    canvas[y : y + height, x : x + width] = small[:, ::-1] if mirrored else small
    return [moved(entry, columns, scale, (x, y), mirrored=mirrored) for entry in people]


def moved(
    entry: Annotation, columns: int, scale: float, offset: tuple[int, int], *, mirrored: bool
) -> Annotation:
    """Return an annotation in the pixels of the collage."""
    keypoints = np.array(entry["keypoints"], dtype=float).reshape(JOINTS, 3)
    left, top, width, height = entry["bbox"]
    if mirrored:
        keypoints[:, 0] = columns - 1 - keypoints[:, 0]
        keypoints = keypoints[list(MIRRORED)]
        left = columns - left - width
    keypoints[:, :2] = (keypoints[:, :2] + 0.5) * scale - 0.5 + offset
    keypoints[keypoints[:, 2] == 0] = 0
    box = [left * scale + offset[0], top * scale + offset[1], width * scale, height * scale]
    area = entry["area"] * scale**2
    return entry | {"keypoints": keypoints.ravel().tolist(), "bbox": box, "area": area}


if __name__ == "__main__":
    main()
