"""Draw accuracy against time for models/README.md.

Run from the repository, after `benchmarks.accuracy`, `benchmarks.policies` and
`benchmarks.lying`: ``python -m benchmarks.tradeoff``. Reads their results and writes
`docs/images/tradeoff.svg`. Each model is a line through its times with 1, 3 and 6 people; its
colour says whether it finds people who lie.
"""

import argparse
import json
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).parents[1]
RESULTS: Final = ROOT / "benchmarks" / "results"
PICTURE: Final = ROOT / "docs" / "images" / "tradeoff.svg"

WIDTH, HEIGHT = 960, 520  # pixels
LEFT, RIGHT, TOP, BOTTOM = 60, 30, 50, 50
MS, AP = (0, 260), (10, 62)  # of the axes
PEOPLE: Final = (1, 3, 6)
FIT: Final = 0.5  # share of people who lie that must be found
MODELS: Final = (
    "posenet-uint8",
    "posenet-481x641",
    "movenet-multipose",
    "posenet-uint8+movenet-thunder-int8",
    "posenet-481x641+movenet-thunder-int8",
    "refined-light",
    "refined",
    "best",
)
GREEN, RED = "#009e73", "#d55e00"  # Okabe and Ito
STYLE: Final = (
    "text{font-family:sans-serif;font-size:13px;fill:#222}.title{font-size:17px}"
    ".grid{stroke:#ddd}.inside{fill:#fff;font-size:11px}.end{text-anchor:end}.middle{text-anchor:middle}"
)


class Measured(NamedTuple):
    """What was measured of a model."""

    model: str
    ap: float
    """On the collages, in percent."""

    ms: tuple[float, ...]
    """Of a frame with 1, 3 and 6 people."""

    lying: float | None
    """Share of people who lie that are found; None if not measured."""


def main() -> None:
    """Write the picture."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    rows = measured()
    size = f'width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    shapes = "".join([*axes(), *(shape for row in rows for shape in line(row))])
    picture = f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>{shapes}'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" role="img" {size}><title>{title()}</title>'
    PICTURE.write_text(f"{head}<style>{STYLE}</style>{picture}</svg>\n", "utf-8")


def measured() -> list[Measured]:
    """Return the rows of the recorded results."""
    ap, ms, lying = (read(name) for name in ("accuracy", "policies", "lying"))
    rows = []
    for model in MODELS:
        found = [row for split, row in lying.get(model, {}).items() if split in {"dev", "judge"}]
        pictures = sum(row["pictures"] for row in found)
        share = sum(row["found"] for row in found) / pictures if found else None
        times = tuple(ms[model]["ms"][str(people)] for people in PEOPLE)
        rows.append(Measured(model, ap[model]["collages"]["AP"], times, share))
    return rows


def read(name: str) -> dict[str, dict[str, Any]]:
    """Return a result's rows by model."""
    rows = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))["rows"]
    return {row["model"]: row for row in rows}


def title() -> str:
    """Return what the picture shows."""
    return "AP of people of 45 to 110 pixels against the CPU time of a frame with 1, 3, 6 people"


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
    said_of = ((GREEN, "finds most people who lie"), (RED, "finds less than half of them"))
    for row, (colour, said) in enumerate(said_of):
        top = HEIGHT - BOTTOM - 50 + 20 * row
        yield f'<circle cx="{WIDTH - 300}" cy="{top}" r="5" fill="{colour}"/>'
        yield text(WIDTH - 288, top + 4, said)


def line(row: Measured) -> Iterator[str]:
    """Yield one model: a line, a point for each number of people, and its name."""
    colour = GREEN if row.lying is not None and row.lying >= FIT else RED
    height = y(row.ap)
    first, last = x(row.ms[0]), x(row.ms[-1])
    yield f'<path d="M{first:.1f} {height:.1f}H{last:.1f}" stroke="{colour}" stroke-width="2"/>'
    for people, ms in zip(PEOPLE, row.ms, strict=True):
        yield f'<circle cx="{x(ms):.1f}" cy="{height:.1f}" r="8" fill="{colour}"/>'
        yield text(x(ms), height + 4, str(people), "middle inside")
    share = "" if row.lying is None else f", lying {row.lying:.0%}"
    yield text(last + 14, height + 4, f"{row.model}: {row.ap:g}{share}")


def text(left: float, top: float, words: str, kind: str = "") -> str:
    """Return words at a place."""
    return f'<text class="{kind}" x="{left:.1f}" y="{top:.1f}">{escape(words)}</text>'


if __name__ == "__main__":
    main()
