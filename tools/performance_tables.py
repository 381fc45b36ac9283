"""The tables of docs/performance.md, made from benchmarks/results."""

import json
import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

RESULTS: Final = Path(__file__).parent.parent / "benchmarks" / "results"
MODELS: Final = ("movenet-lightning", "movenet-multipose", "posenet")
SCALED: Final = ("movenet-thunder-int8", "movenet-multipose", "posenet")
PARTS: Final = ("read", "prepare", "infer", "finish", "publish", "total", "bare", "beside")
MARKED: Final = re.compile(r"(<!-- table: (\w+) -->\n\n)[^<]*?(<!-- end -->)")


def fill(page: str) -> str:
    """Return the page with each marked table made anew."""
    return MARKED.sub(lambda mark: f"{mark[1]}{TABLES[mark[2]]()}\n{mark[3]}", page)


def cpu() -> str:
    """Return the CPU time of a frame by part, for each model."""
    rows = []
    for model in MODELS:
        spent = _read(f"cpu-{model}")["cpu_ms"]
        rows.append([model, *(f"{spent[part]:.1f}" for part in PARTS)])
    return _table(["model", *PARTS], rows)


def stages() -> str:
    """Return the CPU time of a frame's stages, of an earlier version and of this one."""
    rows = [
        [model, version, *(f"{ms:.2f}" for ms in spent.values())]
        for model, versions in _read("stages")["models"].items()
        for version, spent in versions.items()
    ]
    return _table(["model", "version", "read", "prepare", "infer", "finish"], rows)


def latency() -> str:
    """Return the latency beyond the inference, for each bundled model."""
    rows = [
        [
            entry["model"],
            f"{entry['inference_ms']['p50']:.1f}",
            *(f"{entry['beyond_ms'][part]:.1f}" for part in ("p50", "p99")),
        ]
        for entry in _read("latency")["models"]
    ]
    return _table(["model", "inference, p50", "beyond, p50", "beyond, p99"], rows)


def scaling() -> str:
    """Return the daemon's share of the bare rate, by number of cameras."""
    rows = []
    for model in SCALED:
        found = _read(f"scaling-{model}")
        bare = ", ".join(f"{entry['cpu_ms']:.1f}" for entry in found["bare"].values())
        shares = [f"{entry['share_of_best']:.2f}" for entry in found["daemon"]]
        rows.append([model, bare, found["best"], *shares])
    arrangements = ", ".join(_read(f"scaling-{SCALED[0]}")["bare"])
    head = ["model", f"bare, CPU ms: {arrangements}", "daemon", "1 camera", "2", "4"]
    return _table(head, rows)


def people() -> str:
    """Return how the cost grows with people."""
    return _costs("people", "people, at 10 frames a second")


def rate() -> str:
    """Return how the cost of a frame depends on the frame rate."""
    return _costs("rate_hz", "frames a second, with two people")


def size() -> str:
    """Return how the cost grows with the picture."""
    sizes = _read("costs")["size"]
    rows = [[part, *(f"{row[part]:.1f}" for row in sizes.values())] for part in ("read", "prepare")]
    return _table(["picture", *sizes], rows)


def choices() -> str:
    """Return which model `auto` selects by frame rate and cameras, with one interpreter and all."""
    rows = _read("choices")["rows"]
    columns = list(dict.fromkeys((row["need"], row["machine"]) for row in rows))
    loads = list(dict.fromkeys((row["fps"], row["cameras"]) for row in rows))
    selected = {(row["need"], row["machine"], row["fps"], row["cameras"]): row for row in rows}
    lines = [
        [str(fps), str(cameras), *(selected[*column, fps, cameras]["model"] for column in columns)]
        for fps, cameras in loads
    ]
    head = ["frames a second", "cameras", *(f"{need}: {machine}" for need, machine in columns)]
    return _table(head, lines)


def _costs(name: str, title: str) -> str:
    found = _read("costs")[name]
    return _table([title, *found], [["finish", *(f"{ms:.1f}" for ms in found.values())]])


def _read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text("utf-8"))


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


TABLES: Final = MappingProxyType[str, Callable[[], str]](
    {
        "cpu": cpu,
        "stages": stages,
        "latency": latency,
        "scaling": scaling,
        "people": people,
        "rate": rate,
        "size": size,
        "choices": choices,
    }
)
"""Table of each mark ``<!-- table: NAME -->``, which ends at ``<!-- end -->``."""
