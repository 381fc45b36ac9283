"""Make a harder set from a small one: its pictures side by side, smaller, some mirrored.

Run from the repository: ``python -m benchmarks.collages IMAGES ANNOTATIONS OUT``, then
``edgepose eval`` on what is in OUT. People of forty to two hundred pixels in pictures of
640 by 480 are what the pictures of COCO show; the people are the same few, so the set
says something about sizes and crowds and little about anything else.
"""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import cv2
import numpy as np

from edgepose.camera.sources.files import read_picture
from edgepose.measure import accuracy
from edgepose.measure.accuracy import Truth
from edgepose.skeleton import JOINTS, MIRRORED
from edgepose.types import Image, Size

COUNT: Final = 60
SIZES: Final = (Size(640, 480), Size(640, 480), Size(480, 640))
AT_ONCE: Final = 3
SHRINK: Final = (0.55, 1.0)  # of what would fill a picture's part of the collage
CLEAR: Final = 8  # joints that are labelled
MARGIN: Final = 0.125  # of a box, to each side: as usual where single people are measured
SEED: Final = 7

Annotation = dict[str, Any]


class Scene(NamedTuple):
    """A picture and the people in it, or a part of one."""

    image: Image
    people: list[Annotation]


Make = Callable[[list[Scene], np.random.Generator], Iterator[Scene]]


def main() -> None:
    """Write pictures and annotations."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("images", type=Path)
    parser.add_argument("annotations", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--alone", action="store_true", help="one person in each picture")
    args = parser.parse_args()
    truth = accuracy.read(args.annotations, args.images)
    write(truth, alone if args.alone else crowds, args.out)


def write(truth: Truth, make: Make, folder: Path) -> Truth:
    """Make a set from another one and write it into a folder."""
    (folder / "images").mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, scene in enumerate(make(scenes(truth), np.random.default_rng(SEED))):
        name = f"{number:03}.png"
        cv2.imwrite(str(folder / "images" / name), cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR))
        images.append({"id": number, "file_name": name})
        annotations += [entry | {"image_id": number} for entry in scene.people]
    data = {
        "images": images,
        "annotations": [entry | {"id": n} for n, entry in enumerate(annotations, start=1)],
        "categories": truth.data["categories"],
    }
    file = folder / "person_keypoints.json"
    file.write_text(json.dumps(data), "utf-8")
    return accuracy.read(file, folder / "images")


def scenes(truth: Truth) -> list[Scene]:
    """Read the pictures of a set."""
    people: dict[int, list[Annotation]] = {picture.id: [] for picture in truth.pictures}
    for entry in truth.data["annotations"]:
        people[entry["image_id"]].append(entry)
    return [Scene(read_picture(picture.path), people[picture.id]) for picture in truth.pictures]


def crowds(found: list[Scene], draw: np.random.Generator) -> Iterator[Scene]:
    """Yield collages of one to three pictures."""
    for number in range(COUNT):
        yield Scene(*collage(found, SIZES[number % len(SIZES)], draw))


def alone(found: list[Scene], draw: np.random.Generator) -> Iterator[Scene]:
    """Yield each clearly visible person, cut out, a few times somewhere in a picture."""
    chosen = [cut(scene, person) for scene in found for person in scene.people if clear(person)]
    for number in range(COUNT):
        yield Scene(*collage([chosen[number % len(chosen)]], SIZES[number % len(SIZES)], draw))


def clear(person: Annotation) -> bool:
    """Say whether enough of a person is labelled to know how well they are found."""
    return bool(person["num_keypoints"] >= CLEAR)


def cut(scene: Scene, person: Annotation) -> Scene:
    """Return a person's part of a picture; what of others is in it counts for nothing."""
    left, top, width, height = person["bbox"]
    x, y = max(0, int(left - MARGIN * width)), max(0, int(top - MARGIN * height))
    right, bottom = int(left + (1 + MARGIN) * width), int(top + (1 + MARGIN) * height)
    image = scene.image[y:bottom, x:right]
    others = [
        entry | {"keypoints": [0] * 3 * JOINTS, "num_keypoints": 0}
        for entry in scene.people
        if entry is not person
    ]
    rows, columns = image.shape[:2]
    return Scene(
        image,
        [
            moved(entry, columns, 1.0, (-x, -y), mirrored=False)
            for entry in [person, *others]
            if overlaps(entry, (x, y, columns, rows))
        ],
    )


def overlaps(entry: Annotation, part: tuple[int, int, int, int]) -> bool:
    """Say whether any of a person's box is in a part of the picture."""
    left, top, width, height = entry["bbox"]
    x, y, columns, rows = part
    return bool(left < x + columns and top < y + rows and left + width > x and top + height > y)


def collage(
    scenes: list[Scene], size: Size, draw: np.random.Generator
) -> tuple[Image, list[Annotation]]:
    """Put a few pictures into strips of one."""
    canvas = np.full((size.height, size.width, 3), draw.integers(60, 190, 3), dtype=np.uint8)
    upright = draw.random() < 0.5
    chosen = draw.choice(
        len(scenes), draw.integers(1, min(AT_ONCE, len(scenes)) + 1), replace=False
    )
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
