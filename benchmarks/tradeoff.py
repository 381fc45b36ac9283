"""Draw accuracy against time for models/README.md.

Run from the repository: ``python -m benchmarks.tradeoff``. Reads
`benchmarks/results/tradeoff.json` and writes `docs/images/tradeoff.svg`. Each model is a
line through its times with 1, 3 and 6 people; its colour says whether it finds people who
lie.
"""

import argparse
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results" / "tradeoff.json"
PICTURE: Final = ROOT / "docs" / "images" / "tradeoff.svg"

WIDTH, HEIGHT = 960, 520  # pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 50, 50
MS, AP = (0, 220), (20, 52)  # of the axes
PEOPLE: Final = (1, 3, 6)
FIT: Final = 50  # of 60 people who lie
GREEN, RED = "#009e73", "#d55e00"  # Okabe and Ito
STYLE: Final = (
    "text{font-family:sans-serif;font-size:13px;fill:#222}.title{font-size:17px}"
    ".grid{stroke:#ddd}.inside{fill:#fff;font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}"
)


def main() -> None:
    """Write the picture."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = json.loads(RESULTS.read_text("utf-8"))["rows"]
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    shapes = "".join([*axes(), *(shape for row in rows for shape in line(row))])
    picture = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{shapes}'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}><title>{title()}</title>'
    PICTURE.write_text(f"{head}<style>{STYLE}</style>{picture}</svg>\n", "utf-8")


def title() -> str:
    """Return what the picture shows."""
    return "AP against the time of a frame with 1, 3 and 6 people"


def x(ms: float) -> float:
    """Return the pixel of a time."""
    return LEFT + (WIDTH - LEFT - RIGHT) * (ms - MS[0]) / (MS[1] - MS[0])


def y(ap: float) -> float:
    """Return the pixel of an AP."""
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (ap - AP[0]) / (AP[1] - AP[0])


def axes() -> Iterator[str]:
    """Yield the grid, its numbers and the title."""
    yield text(LEFT, 26, title(), "title")
    for ms in range(MS[0], MS[1] + 1, 20):
        yield f'<path class="grid" d="M{x(ms):.1f} {TOP}V{HEIGHT - BOTTOM}"/>'
        yield text(x(ms), HEIGHT - BOTTOM + 18, str(ms), "middle")
    for ap in range(AP[0], AP[1], 5):
        yield f'<path class="grid" d="M{LEFT} {y(ap):.1f}H{WIDTH - RIGHT}"/>'
        yield text(LEFT - 8, y(ap) + 4, str(ap), "end")
    yield text(WIDTH - RIGHT, HEIGHT - 12, "ms a frame, one thread", "end")
    for row, (colour, said) in enumerate(
        ((GREEN, "finds people who lie: 51 to 54 of 60"), (RED, "17 of 60"))
    ):
        top = HEIGHT - BOTTOM - 50 + 20 * row
        yield f'<circle cx="{WIDTH - 300}" cy="{top}" r="5" fill="{colour}"/>'
        yield text(WIDTH - 288, top + 4, said)


def line(row: dict[str, Any]) -> Iterator[str]:
    """Yield one model: a line, a point for each number of people, and its name."""
    colour = GREEN if row["lying"] >= FIT else RED
    height = y(row["AP"])
    first, last = x(row["ms"][0]), x(row["ms"][-1])
    yield f'<path d="M{first:.1f} {height:.1f}H{last:.1f}" stroke="{colour}" stroke-width="2"/>'
    for people, ms in zip(PEOPLE, row["ms"], strict=True):
        yield f'<circle cx="{x(ms):.1f}" cy="{height:.1f}" r="8" fill="{colour}"/>'
        yield text(x(ms), height + 4, str(people), "middle inside")
    yield text(last + 14, height + 4, f"{row['model']}: {row['AP']:g}")


def text(left: float, top: float, words: str, kind: str = "") -> str:
    """Return words at a place."""
    return f'<text class="{kind}" x="{left:.1f}" y="{top:.1f}">{escape(words)}</text>'


if __name__ == "__main__":
    main()
