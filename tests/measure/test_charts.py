"""Charts: whole pictures that say in words what they show."""

import itertools
from pathlib import Path
from xml.etree import ElementTree

import pytest

from edgepose.errors import UsageError
from edgepose.measure import charts

SVG = "{http://www.w3.org/2000/svg}"


def drawn(*panels: charts.Panel) -> ElementTree.Element:
    """Return the picture as a reader of SVG sees it."""
    return ElementTree.fromstring(charts.svg("a title & more", panels))


def test_spans_and_marks_lie_where_the_axis_says() -> None:
    """A span is as long as its time, a mark is at its moment, each says what it is."""
    axis = charts.Axis(100, "seconds")
    spans = (charts.Span(10, 30, charts.GREEN, "fell <twice>"),)
    row = charts.Row("fall", spans, (charts.Mark(50, charts.RED, "said"),))

    picture = drawn(charts.Rows("what happened", axis, [row]))

    span = next(box for box in picture.iter(f"{SVG}rect") if box.get("fill") == charts.GREEN)
    assert float(span.get("x", 0)) == pytest.approx(axis.x(10), abs=0.1)
    assert float(span.get("width", 0)) == pytest.approx(axis.x(30) - axis.x(10), abs=0.1)
    assert [shape.text for shape in span] == ["fell <twice>"]
    mark = next(picture.iter(f"{SVG}path"))
    assert mark.get("d", "").startswith(f"M{axis.x(50):.1f} ")
    words = {text.text for text in picture.iter(f"{SVG}text")}
    assert {"a title & more", "what happened", "fall", "seconds"} <= words


def test_nothing_leaves_the_picture() -> None:
    """Values beyond the axis end at its end; panels stand below each other."""
    axis = charts.Axis(10, "s")
    rows = charts.Rows("rows", axis, [charts.Row("long", (charts.Span(-5, 50, charts.BLUE, ""),))])
    columns = charts.Columns("columns", axis, charts.histogram([1, 2, 99], 10), {"p50": 99})

    picture = drawn(rows, columns, rows)

    width, height = (float(picture.get(side, 0)) for side in ("width", "height"))
    assert height > 2 * rows.height + columns.height
    for box in picture.iter(f"{SVG}rect"):
        if box.get("fill") != "#fff":
            assert (
                0
                <= float(box.get("x", 0))
                <= float(box.get("x", 0)) + float(box.get("width", 0))
                <= width
            )
            assert 0 <= float(box.get("y", 0)) + float(box.get("height", 0)) <= height


@pytest.mark.parametrize("end", [0.003, 0.9, 1, 7, 59, 60, 3600, 86_400])
def test_ticks_are_round_few_and_within(end: float) -> None:
    """Three to nine of them, from 0 on, evenly."""
    ticks = charts.Axis(end, "s").ticks

    assert 3 <= len(ticks) <= charts.TICKS + 1
    assert ticks[0] == 0
    assert ticks[-1] <= end * (1 + 1e-9)
    assert {f"{b - a:.6g}" for a, b in itertools.pairwise(ticks)} == {f"{ticks[1]:.6g}"}


def test_every_value_is_counted_once() -> None:
    """Those below and beyond the ends count in the first and last part."""
    values = [-1.0, 0.0, 0.5, 9.99, 10.0, 1e9]

    counts = charts.histogram(values, 10.0, parts=10)

    assert sum(counts) == len(values)
    assert (counts[0], counts[-1]) == (3, 3)


def test_only_svg_is_written(tmp_path: Path) -> None:
    """Another name, and a folder that is not there, are refused in words."""
    charts.save(tmp_path / "chart.svg", "empty", [])

    assert (tmp_path / "chart.svg").read_text("utf-8").startswith("<svg")
    for name in ("chart.png", "missing/chart.svg"):
        with pytest.raises(UsageError, match=r"chart\."):
            charts.save(tmp_path / name, "empty", [])
