"""Which model `auto` selects for some frame rates and cameras, for docs/performance.md.

Run from the repository: ``python -m benchmarks.choices``. Compares one interpreter with one
thread with the whole machine, for six people with fall detection, and for two people without.
Results go to `benchmarks/results`;
``python tools/write_docs.py`` makes the table.
"""

import argparse
import json
import math
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from edgepose.config.schema import Config, Events, Model, PoseSettings
from edgepose.measure.benchmark import machine
from edgepose.pose import interpreter, selection
from edgepose.pose.selection import ModelSelector
from edgepose.timing import Clock

RATES: Final = (5, 10, 15, 30)
CAMERAS: Final = (1, 2, 4)
MACHINES: Final = {
    "one interpreter": Model(interpreters=1, threads=1),
    "whole machine": Model(),
}
NEEDS: Final = {
    "6 people, falls": (PoseSettings(max_people=6), Events(fall=True)),
    "2 people, no falls": (PoseSettings(max_people=2), Events(fall=False)),
}
RUNS: Final = 40
RESULTS: Final = Path(__file__).parent / "results" / "choices.json"


def main() -> None:
    """Select for every rate and number of cameras, and write the results."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    # The least of many runs, and no limit: other programs must not decide.
    selection.RUNS, selection.MEASURING_S, selection.BUSY = RUNS, math.inf, math.inf
    rows = [row for name, model in MACHINES.items() for row in selected(name, model)]
    report = {
        "at": datetime.now(UTC).date().isoformat(),
        "machine": machine(),
        "runtime": interpreter.runtime(),
        "rows": rows,
    }
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    sys.stdout.write(f"{RESULTS}: {len(rows)} selections\n")


def selected(name: str, model: Model) -> list[dict[str, Any]]:
    """Return what is selected on one machine; its timings are measured once."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for need, (pose, events) in NEEDS.items():
            config = Config(model=model, pose=pose, events=events)
            for rate in RATES:
                for cameras in CAMERAS:
                    selector = ModelSelector(Path(folder), Clock())
                    plan = selector.plan(config, rate * cameras)
                    rows.append(
                        {
                            "machine": name,
                            "need": need,
                            "fps": rate,
                            "cameras": cameras,
                            "model": plan.model,
                            "arrangement": str(plan.arrangement),
                            "reason": plan.model_reason,
                        }
                    )
    return rows


if __name__ == "__main__":
    main()
