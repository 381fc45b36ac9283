"""Charts as SVG: marks on a time line, bars and curves on an axis, without a library.

A chart is a stack of panels, each with its own rows or curves, all drawn with the few
shapes below. What it shows is said in words too, so that it can be read aloud.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Final, Protocol

from edgepose.errors import UsageError

WIDTH: Final = 960  # pixels
LEFT: Final = 210  # room for the names of rows
RIGHT: Final = 24
ROW: Final = 30
TICKS: Final = 8  # at most so many on an axis

# Okabe and Ito's colours, told apart by nearly everybody.
BLUE: Final = "#0072b2"
ORANGE: Final = "#e69f00"
GREEN: Final = "#009e73"
RED: Final = "#d55e00"
GREY: Final = "#8a8a8a"

STYLE: Final = (
    "text{font-family:sans-serif;font-size:13px;fill:#222}"
    ".title{font-size:17px;font-weight:bold}.note{fill:#555}.end{text-anchor:end}"
    ".middle{text-anchor:middle}.grid{stroke:#ddd}.axis{stroke:#888}"
)


class Panel(Protocol):
    """A part of a chart, as wide as the chart."""

    @property
    def height(self) -> float:
        """In pixels, with its axis."""

    def draw(self, top: float) -> Iterable[str]:
        """Yield the shapes."""


@dataclass(frozen=True, slots=True)
class Axis:
    """Values from 0 to `end`, over the width that the names of rows leave."""

    end: float
    unit: str

    def x(self, value: float) -> float:
        """Return the pixel of a value."""
        return LEFT + (WIDTH - LEFT - RIGHT) * min(max(value / self.end, 0.0), 1.0)

    @property
    def ticks(self) -> list[float]:
        """Round values, `TICKS` at most."""
        least = self.end / TICKS
        power = 10.0 ** math.floor(math.log10(least))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= least)
        return [step * n for n in range(int(self.end / step + 1e-9) + 1)]

    def draw(self, top: float, bottom: float) -> Iterable[str]:
        """Yield the grid and what it says below."""
        for tick in self.ticks:
            x = self.x(tick)
            yield _line(x, top, x, bottom, "grid")
            yield _text(x, bottom + 16, f"{tick:g}", "middle note")
        yield _text(WIDTH - RIGHT, bottom + 32, self.unit, "end note")


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a row."""

    start: float
    end: float
    colour: str
    says: str
    """Shown when the pointer rests on it."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A moment of a row."""

    at: float
    colour: str
    says: str


@dataclass(frozen=True, slots=True)
class Row:
    """A named line of spans with marks on them."""

    name: str
    spans: tuple[Span, ...] = ()
    marks: tuple[Mark, ...] = ()
    note: str = ""
    """Written behind the last span."""


@dataclass(frozen=True, slots=True)
class Rows:
    """Rows above one axis: a time line, or bars."""

    title: str
    axis: Axis
    rows: Sequence[Row]
    key: Mapping[str, str] = field(default_factory=dict)
    """What the colours mean: colour to words."""

    @property
    def height(self) -> float:
        """Title, key, rows, axis."""
        return 36 + (22 if self.key else 0) + ROW * len(self.rows) + 46

    def draw(self, top: float) -> Iterable[str]:
        """Yield the shapes."""
        yield _text(LEFT, top + 20, self.title, "title")
        if self.key:
            yield from _key(self.key, top + 42)
        top += self.height - 46 - ROW * len(self.rows)
        yield from self.axis.draw(top, top + ROW * len(self.rows))
        for number, row in enumerate(self.rows):
            yield from self._row(row, top + ROW * number)

    def _row(self, row: Row, top: float) -> Iterable[str]:
        middle = top + ROW / 2
        yield _text(LEFT - 10, middle + 4, row.name, "end")
        behind = self.axis.x(0)
        for span in row.spans:
            left, right = self.axis.x(span.start), self.axis.x(span.end)
            behind = max(behind, right)
            width = max(right - left, 2)
            yield _box(left, top + 6, width, ROW - 12, colour=span.colour, says=span.says)
        for mark in row.marks:
            yield _diamond(self.axis.x(mark.at), middle, mark.colour, mark.says)
        if row.note:
            yield _text(behind + 6, middle + 4, row.note, "note")


@dataclass(frozen=True, slots=True)
class Columns:
    """How often values fall between the edges of an axis."""

    title: str
    axis: Axis
    counts: Sequence[int]
    """Of parts of the axis that are equally wide."""

    marks: Mapping[str, float] = field(default_factory=dict)
    """Values with a name, such as a percentile."""

    tall: float = 160

    @property
    def height(self) -> float:
        """Title, columns, axis."""
        return 60 + self.tall + 46

    def draw(self, top: float) -> Iterable[str]:
        """Yield the shapes."""
        yield _text(LEFT, top + 20, self.title, "title")
        top += 60
        bottom = top + self.tall
        yield from self.axis.draw(top, bottom)
        most, step = max([*self.counts, 1]), self.axis.end / len(self.counts)
        for number, count in enumerate(self.counts):
            left, right = self.axis.x(number * step), self.axis.x((number + 1) * step)
            tall = self.tall * count / most
            if count:
                says = f"{count} from {number * step:.3g} to {(number + 1) * step:.3g}"
                width = right - left - 1
                yield _box(left + 0.5, bottom - tall, width, tall, colour=BLUE, says=says)
        yield _text(LEFT - 10, top + 10, f"{most}", "end note")
        yield _text(LEFT - 10, bottom, "0", "end note")
        for number, (name, value) in enumerate(self.marks.items()):
            x = self.axis.x(value)
            yield _line(x, top - 4 - 14 * (number % 2), x, bottom, "axis")
            yield _text(x + 3, top - 6 - 14 * (number % 2), f"{name} {value:.3g}", "note")


def histogram(values: Sequence[float], end: float, parts: int = 60) -> list[int]:
    """Count values in equal parts of 0 to `end`; what is beyond counts in the last."""
    counts = [0] * parts
    for value in values:
        counts[min(parts - 1, max(0, int(parts * value / end)))] += 1
    return counts


def svg(title: str, panels: Sequence[Panel]) -> str:
    """Return a whole picture."""
    shapes, top = [_text(24, 30, title, "title")], 44.0
    for panel in panels:
        shapes += panel.draw(top)
        top += panel.height + 12
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top:.0f}" '
        f'viewBox="0 0 {WIDTH} {top:.0f}" role="img"><title>{escape(title)}</title>'
        f'<style>{STYLE}</style><rect width="100%" height="100%" fill="#fff"/>'
        + "\n".join(shapes)
        + "</svg>\n"
    )


def check(path: Path) -> None:
    """Refuse a name that no chart can be written to, before what it shows is measured.

    Raises
    ------
    UsageError
        The name does not end in ``.svg``, or its folder is not there.
    """
    if path.suffix.lower() != ".svg":
        msg = f"{path}: expected a name that ends in .svg; browsers and editors show it"
        raise UsageError(msg)
    if not path.parent.is_dir():
        msg = f"{path}: cannot be written: there is no folder {path.parent}"
        raise UsageError(msg)


def save(path: Path, title: str, panels: Sequence[Panel]) -> None:
    """Write a chart.

    Raises
    ------
    UsageError
        The name does not end in ``.svg``, or the file cannot be written.
    """
    check(path)
    try:
        path.write_text(svg(title, panels), "utf-8")
    except OSError as error:
        msg = f"{path}: cannot be written: {error.strerror}"
        raise UsageError(msg) from None


def _key(colours: Mapping[str, str], middle: float) -> Iterable[str]:
    x = float(LEFT)
    for colour, words in colours.items():
        yield _box(x, middle - 9, 12, 12, colour=colour)
        yield _text(x + 17, middle + 2, words, "note")
        x += 40 + 7 * len(words)


def _text(x: float, y: float, words: str, style: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{style}">{escape(words)}</text>'


def _line(x: float, y: float, x2: float, y2: float, style: str) -> str:
    return f'<line x1="{x:.1f}" y1="{y:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" class="{style}"/>'


def _box(x: float, y: float, width: float, height: float, *, colour: str, says: str = "") -> str:
    shape = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"'
    return f'<rect {shape} fill="{colour}"><title>{escape(says)}</title></rect>'


def _diamond(x: float, y: float, colour: str, says: str) -> str:
    corners = f"M{x:.1f} {y - 9:.1f}l6 9l-6 9l-6 -9z"
    return f'<path d="{corners}" fill="{colour}" stroke="#fff"><title>{escape(says)}</title></path>'
