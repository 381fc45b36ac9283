"""The Grafana dashboard, compared with the documented metrics."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
DASHBOARD = json.loads((ROOT / "deploy/grafana/edgepose.json").read_text())
PANELS: list[dict[str, Any]] = DASHBOARD["panels"]
TARGETS = [(panel["title"], target) for panel in PANELS for target in panel["targets"]]

OF_PROMETHEUS = {"job", "instance"}
PARTS = r"(?:_bucket|_sum|_count)?"

every_target = pytest.mark.parametrize(
    "target", [pytest.param(target, id=f"{title}-{target['refId']}") for title, target in TARGETS]
)


def explained() -> dict[str, set[str]]:
    """Return the labels of each metric in the documentation's table."""
    rows = re.findall(r"^\| `(edgepose_\w+)` \| \w+ \|([^|]*)\|", _docs(), re.MULTILINE)
    return {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows}


def _docs() -> str:
    return (ROOT / "docs/metrics.md").read_text()


def test_it_shows_every_number() -> None:
    """Every documented metric is shown."""
    asked = " ".join(target["expr"] for _, target in TARGETS)

    unseen = [name for name in explained() if not re.search(rf"\b{name}{PARTS}\b", asked)]

    assert len(explained()) > 10
    assert unseen == []


@every_target
def test_a_line_is_named_by_labels_that_it_has(target: dict[str, Any]) -> None:
    """Legends use existing labels, so that lines of a panel have different names."""
    names = re.findall(rf"\b(edgepose_\w+?){PARTS}\{{", target["expr"])
    had = {label for name in names for label in explained()[name]} | OF_PROMETHEUS

    used = set(re.findall(r"{{(\w+)}}", target.get("legendFormat", "")))
    summed = re.search(r"by \(([^)]*)\)", target["expr"])

    assert used <= had
    assert summed is None or used <= set(summed[1].split(", ")) <= had | {"le"}


def test_lines_of_a_panel_can_be_told_apart() -> None:
    """Targets of one panel have different legends."""
    legends = [[target.get("legendFormat") for target in panel["targets"]] for panel in PANELS]

    assert all(len(set(names)) == len(names) for names in legends)


def test_panels_lie_side_by_side() -> None:
    """Panels do not overlap and fit into Grafana's 24 columns."""
    places = [panel["gridPos"] for panel in PANELS]

    taken = [
        (x, y)
        for place in places
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]

    assert len(set(taken)) == len(taken)
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in PANELS}) == len(PANELS)


def test_everything_asks_the_prometheus_that_was_chosen() -> None:
    """All panels use the data source variable, not a fixed name."""
    sources = [panel["datasource"]["uid"] for panel in PANELS]

    variables = {variable["name"] for variable in DASHBOARD["templating"]["list"]}

    assert set(sources) == {"${source}"}
    assert variables == {"source", "job"}
    assert all('{job=~"$job"' in target["expr"] for _, target in TARGETS)
