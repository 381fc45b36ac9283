"""How soon the page shows something, in a real Chromium before a real daemon on this machine.

Run from the repository: ``python -m benchmarks.firstview``, on a machine that has nothing else to
do. Times are the browser's own, in milliseconds since the navigation began: the first byte of
the answer, the first paint, the first camera's card, and the first limb of a skeleton. Each
visit has an empty cache, in a window that has been open for a while. `starting`: nobody has
looked before, so the page's process is started; `running`: it runs. What the browser needs
for a page with one word, which a thread of this script serves, stands beside it. Results go
to `benchmarks/results`.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import sync_playwright

from edgepose.measure.benchmark import machine
from tests.support.brokers import wait_until
from tests.support.browsing import CHROMIUM, House, one_word

RESULTS: Final = Path(__file__).parent / "results" / "firstview.json"
OPENED_MS: Final = 3000  # a new window loads a hundred files of the browser's own
SETTLE_S: Final = 3.0  # after a reload, and before the first visit

WATCH: Final = """
window.seen = {};
new MutationObserver((_, observer) => {
  if (!document.querySelector(".card")) return;
  window.seen.card = performance.now();
  observer.disconnect();
}).observe(document, { childList: true, subtree: true });
const { stroke } = CanvasRenderingContext2D.prototype;
CanvasRenderingContext2D.prototype.stroke = function (...words) {
  window.seen.skeleton ??= performance.now();
  return stroke.apply(this, words);
};
"""

TIMES: Final = """() => ({
  first_byte: performance.getEntriesByType("navigation")[0].responseStart,
  first_paint: performance.getEntriesByName("first-contentful-paint")[0]?.startTime,
  ...window.seen,
})"""

Times = dict[str, float]


def visit(browser: Any, url: str, last: str) -> Times:
    """Open a page in a window of its own; return its times when the last of them is known."""
    context = browser.new_context(viewport={"width": 1280, "height": 860})
    page = context.new_page()
    page.add_init_script(WATCH)
    page.wait_for_timeout(OPENED_MS)
    page.goto(url)
    found: Times = {}

    def complete() -> bool:
        page.wait_for_timeout(50)
        found.update(page.evaluate(TIMES))
        return found.get(last) is not None

    assert wait_until(complete, 30), found
    context.close()
    return found


def forget(house: House, number: int) -> None:
    """End the page's process, by a change of its settings."""
    house.write(house.text.replace("[web]\n", f'[web]\nhosts = ["visit-{number}"]\n'))
    time.sleep(SETTLE_S)


def row(name: str, visits: int, one: Callable[[int], Times]) -> dict[str, Any]:
    """Visit so many times; return the middle and the slowest of each time."""
    times = [one(number) for number in range(visits)]
    found = {
        f"{key}_ms": {
            "p50": round(statistics.median(each[key] for each in times)),
            "max": round(max(each[key] for each in times)),
        }
        for key in times[0]
    }
    sys.stdout.write(f"{name:10} {json.dumps(found)}\n")
    return {"page": name, "visits": visits, **found}


def main() -> None:
    """Measure and write the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visits", type=int, default=9)
    args = parser.parse_args()
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    with (
        tempfile.TemporaryDirectory() as folder,
        House(Path(folder)) as house,
        sync_playwright() as driver,
        one_word() as plain,
    ):
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=words)
        time.sleep(SETTLE_S)

        def starting(number: int) -> Times:
            forget(house, number)
            return visit(browser, house.url, "skeleton")

        visit(browser, plain, "first_paint")  # the browser's own beginning
        rows = [
            row("one word", args.visits, lambda _: visit(browser, plain, "first_paint")),
            row("starting", args.visits, starting),
            row("running", args.visits, lambda _: visit(browser, house.url, "skeleton")),
        ]
        report = {
            "machine": machine(),
            "load": round(os.getloadavg()[0], 2),
            "browser": browser.version,
            "rows": rows,
        }
        browser.close()
    RESULTS.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
