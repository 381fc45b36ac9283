"""Print what models and rules say of real people turned on their side: a table of docs/events.md.

Pictures of people who lie are rare; people who stand are in many, and turned by a quarter
they lie. Give pictures of people who stand:

python -m benchmarks.turned PICTURE...
"""

import argparse
import sys
from collections import Counter
from pathlib import Path
from typing import Final

import cv2

import edgepose
from edgepose.people.posture import POSTURES, read
from edgepose.types import Image

MODELS: Final = ("movenet-multipose", "movenet-thunder", "movenet-lightning", "posenet")
TURNS: Final = {
    "upright": None,
    "on the left": cv2.ROTATE_90_COUNTERCLOCKWISE,
    "on the right": cv2.ROTATE_90_CLOCKWISE,
}


def main() -> None:
    """Look at every picture with every model, three times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("picture", nargs="+", type=Path)
    paths = parser.parse_args().picture
    out("model", "picture", "people", *POSTURES)
    out(*["---"] * (3 + len(POSTURES)))
    for model in MODELS:
        estimator = edgepose.PoseEstimator(model)
        for name, turn in TURNS.items():
            said = Counter(
                read(pose) for path in paths for pose in estimator.estimate(opened(path, turn))
            )
            out(model, name, said.total(), *(said[posture] for posture in POSTURES))


def opened(path: Path, turn: int | None) -> Image:
    """Read a picture and turn it."""
    image = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
    return image if turn is None else cv2.rotate(image, turn)


def out(*cells: object) -> None:
    """Print one row of a Markdown table."""
    sys.stdout.write("| " + " | ".join(str(cell) for cell in cells) + " |\n")


if __name__ == "__main__":
    main()
