"""The page in a real browser, with a real daemon and broker."""

import json
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import cv2
import msgspec
import numpy as np
import pytest

import edgepose
from edgepose.people.events import TYPES
from tests.support.brokers import free_port, needs_mosquitto, wait_until, witness
from tests.support.browsing import CHROMIUM, House, needs_chromium, one_word, settled, told
from tests.support.pages import HELLO, site
from tests.support.prefixed import prefixed

pytestmark = [pytest.mark.slow, needs_chromium, needs_mosquitto]

playwright = pytest.importorskip("playwright.sync_api", reason="the group dev is not installed")
expect = playwright.expect

PICTURES: Final = os.environ.get("EDGEPOSE_PICTURES")
"""Folder of the documentation's pictures; by default a temporary one."""

STATIC: Final = Path(edgepose.__file__).parent / "web" / "static"

STATE: Final = "edgepose/hall-pi/hall/state"
WAVER: Final = ((0.2, 0.72), (0.45, 0.72), (0.45, 0.95), (0.2, 0.95))
"""Corners around the feet of the demo's person who stays in place."""

PROXY: Final = "127.0.0.2"
"""Address of a proxy that authenticates its users itself."""

LIT: Final = """(canvas) => {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let [count, across] = [0, 0];
  for (let at = 0; at < data.length; at += 4) {
    if (data[at] + data[at + 1] + data[at + 2] < 150) continue;
    count += 1;
    across += (at / 4) % width;
  }
  return { count, middle: across / count / width };
}"""


PINK: Final = LIT.replace(
    "data[at] + data[at + 1] + data[at + 2] < 150",
    "Math.abs(data[at] - 255) + Math.abs(data[at + 1] - 138) + Math.abs(data[at + 2] - 216) > 12",
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    with House(tmp_path_factory.mktemp("house")) as running:
        yield running


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    # Chromium's sandbox does not work for root, as tests run in containers.
    words = ["--no-sandbox"] if os.geteuid() == 0 else []
    expect.set_options(timeout=20_000)  # a Pi that also runs the daemon and the broker is slow
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=words)
        yield browser
        browser.close()


@contextmanager
def browsing(chromium: Any, url: str, **settings: Any) -> Iterator[Any]:
    """Open a window of its own; errors and policy violations in it fail the test."""
    asked = {"viewport": {"width": 1280, "height": 860}, "locale": "en-GB", **settings}
    context = chromium.new_context(**asked)
    page = context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on(
        "console",
        lambda said: faults.append(said.text) if "Content Security Policy" in said.text else None,
    )
    try:
        page.goto(url)
        yield page
        assert faults == []
    finally:
        context.close()


@pytest.fixture
def visit(chromium: Any, house: House) -> Iterator[Callable[..., Any]]:
    """Return a function that opens windows; afterwards restore the daemon's configuration."""
    windows = []

    def open_(path: str = "/", **settings: Any) -> Any:
        window = browsing(chromium, house.url + path, **settings)
        windows.append(window)
        return window.__enter__()

    yield open_
    for window in reversed(windows):
        window.__exit__(None, None, None)
    house.restore()


def named(page: Any, role: str, name: str) -> Any:
    """Find an element by role and accessible name."""
    return page.get_by_role(role, name=name, exact=True)


def aim(visit: Callable[..., Any], **settings: Any) -> Any:
    """Open the editor and wait until people are drawn."""
    page = visit("/#/edit/hall", **settings)
    expect(named(page, "heading", "Edit: hall")).to_be_visible()
    wait_lit(page)
    return page


def wait_lit(page: Any) -> dict[str, float]:
    """Wait until a person is drawn; return the number of pixels and their centre."""
    canvas = page.locator("canvas")
    seen: dict[str, float] = {}

    def lit() -> bool:
        page.wait_for_timeout(50)
        seen.update(canvas.evaluate(LIT))
        return seen["count"] > 500

    assert wait_until(lit, 20), "nobody is drawn"
    return seen


def place(page: Any, part: tuple[float, float]) -> tuple[float, float]:
    """Return the window position of a point in relative frame coordinates."""
    box = page.locator("svg.drawing").bounding_box()
    return box["x"] + part[0] * box["width"], box["y"] + part[1] * box["height"]


def drag(page: Any, *stops: tuple[float, float]) -> None:
    """Press the mouse button, move from stop to stop, release."""
    first, *others = stops
    page.mouse.move(*place(page, first))
    page.mouse.down()
    for stop in others:
        page.mouse.move(*place(page, stop), steps=4)
    page.mouse.up()


def draw(page: Any, corners: tuple[tuple[float, float], ...], name: str) -> None:
    """Draw a zone by clicking its corners, and enter its name."""
    named(page, "button", "Draw a zone").click()
    for corner in (*corners, corners[0]):
        page.mouse.click(*place(page, corner))
    named(page, "textbox", "Name").last.fill(name)


def save(page: Any) -> None:
    """Save, and wait until it is applied."""
    named(page, "button", "Save").click()
    expect(page.get_by_text("Saved and applied.")).to_be_visible()


def polygon(house: House, zone: str) -> list[list[float]]:
    """Return a zone's corners from the file."""
    zones = {each["id"]: each["polygon"] for each in house.configured()["zone"]}
    found: list[list[float]] = zones[zone]
    return found


def near(found: list[list[float]], wanted: tuple[tuple[float, float], ...]) -> bool:
    """Return whether the corners are equal within about a pixel."""
    return len(found) == len(wanted) and all(
        abs(a - b) < 0.005
        for corner, other in zip(found, wanted, strict=True)
        for a, b in zip(corner, other, strict=True)
    )


# Watching


def test_it_shows_people_who_move(visit: Callable[..., Any]) -> None:
    """Skeletons are drawn on black; text shows people, frame rate, model and broker."""
    page = visit()

    first = wait_lit(page)["middle"]
    places = {round(first, 2)}

    def walked() -> bool:
        places.add(round(wait_lit(page)["middle"], 2))
        return max(places) - min(places) > 0.03

    assert wait_until(walked, 20), places
    expect(page.get_by_role("listitem").filter(has_text="standing, score").first).to_be_attached()
    expect(page.get_by_text("Skeletons only")).to_be_visible()
    card = named(page, "article", "hall")
    expect(card.get_by_text("online")).to_be_visible()
    expect(card.locator("dd").first).to_have_text("15.0 fps")
    device = named(page, "region", "Device")
    arranged = re.compile(r"interpreters x threads: \d+ x \d+, ")
    for word in ("connected", "movenet-multipose", "cpu", "Edge TPU", arranged):
        expect(device.get_by_text(word).first).to_be_visible()
    events = named(page, "list", "Last events, newest first")
    expect(events.get_by_text("came into view").first).to_be_visible()
    assert events.get_by_role("time").first.get_attribute("datetime").endswith("Z")


def test_lines_are_drawn_over_the_camera(visit: Callable[..., Any], house: House) -> None:
    """They have a colour of their own and the position from the file."""
    page = visit()
    wait_lit(page)
    before = page.locator("canvas").evaluate(PINK)["count"]
    line = 'id = "door"\npoints = [[0.9, 0.1], [0.9, 0.9]]'
    house.write(f"{house.text}\n[[camera.line]]\n{line}\n")
    seen: dict[str, float] = {}

    def drawn() -> bool:
        seen.update(page.locator("canvas").evaluate(PINK))
        return seen["count"] > before + 100

    assert settled(page, drawn)
    assert seen["middle"] == pytest.approx(0.9, abs=0.03)


def test_it_says_why_the_broker_is_away(visit: Callable[..., Any], house: House) -> None:
    """The broker's state is shown in words, and updated when it returns."""
    page = visit()
    device = named(page, "region", "Device")
    expect(device.get_by_text("connected", exact=True)).to_be_visible()

    house.broker.stop()
    expect(device.get_by_text("not connected")).to_be_visible()
    expect(page.get_by_text("live, broker not connected")).to_be_visible()
    house.broker.start()

    expect(device.get_by_text("connected", exact=True)).to_be_visible(timeout=60_000)


def test_it_says_why_a_camera_is_away(visit: Callable[..., Any], house: House) -> None:
    """The reason is shown in place of the picture; the source's password is not sent."""
    source = f"http://bob:marlin@127.0.0.1:{free_port()}/?token=herring"
    said: list[str] = []
    page = visit()
    page.on("websocket", lambda line: line.on("framereceived", lambda told: said.append(str(told))))
    page.reload()
    house.write(f'{house.text}\n[[camera]]\nid = "yard"\nsource = "{source}"\n')

    away, there = (named(page, "article", name) for name in ("yard", "hall"))
    expect(away.get_by_text("offline", exact=True)).to_be_visible()
    expect(away.get_by_text("connection refused")).to_be_visible()
    expect(there.get_by_text("online", exact=True)).to_be_visible()
    assert any("connection refused" in told for told in said)
    assert not any(secret in told for told in said for secret in ("marlin", "herring"))


def test_a_page_that_nobody_sees_asks_for_nothing(visit: Callable[..., Any]) -> None:
    """A hidden window unsubscribes; when shown again it subscribes."""
    page = visit("/api/session")
    said: list[str] = []
    page.on("websocket", lambda line: line.on("framesent", lambda told: said.append(str(told))))
    page.goto(page.url.removesuffix("/api/session"))
    wait_lit(page)

    def watched(hidden: str) -> list[str]:
        before = len(said)
        page.evaluate(
            f"Object.defineProperty(document, 'hidden', {{ value: {hidden}, configurable: true }});"
            "document.dispatchEvent(new Event('visibilitychange'))"
        )
        assert settled(page, lambda: len(said) > before)
        return list(json.loads(said[-1])["cameras"])

    assert watched("true") == []
    assert watched("false") == ["hall"]


def test_a_camera_that_is_paused_says_so(visit: Callable[..., Any]) -> None:
    """Pausing is shown at once, can be ended, and skipped frames are counted."""
    page = visit()
    wait_lit(page)

    reason = page.get_by_text("Paused: frames of this camera are not processed.")
    rate, latency = (page.locator(".numbers dd").nth(index) for index in (0, 1))
    expect(latency).to_have_text(re.compile("ms$"))
    named(page, "button", "Pause: hall").click()
    expect(reason).to_be_visible()
    assert (rate.inner_text(), latency.inner_text()) == ("–", "–"), "not only after a while"
    named(page, "link", "Edit").click()
    expect(reason).to_be_visible()
    page.go_back()
    named(page, "button", "Resume: hall").click()

    expect(reason).to_be_hidden()
    left_out = named(page, "article", "hall").get_by_text("Skipped on purpose")
    expect(left_out).to_have_text(re.compile(r": \d+ \(paused\)$"))


def test_a_video_that_has_ended_leaves_nobody_behind(
    visit: Callable[..., Any], house: House
) -> None:
    """After the end no people are counted or drawn; a message says so."""
    zone = f'\n  [[camera.zone]]\n  id = "stove"\n  polygon = {json.dumps(WAVER)}\n'
    page = visit()
    card = named(page, "article", "hall")

    house.write(house.text.replace("demo://", "demo://?loop=0") + zone)
    expect(card.get_by_text(re.compile(r"stove: \d"))).to_be_visible()

    ended = page.get_by_text("The video has ended.")
    expect(ended).to_be_visible(timeout=60_000)

    expect(card.get_by_text(re.compile("person|people|nobody|empty"))).to_have_count(0)
    expect(card.locator("dd").first).to_have_text("–")
    assert settled(page, lambda: card.locator("canvas").evaluate(LIT)["count"] == 0)
    named(page, "link", "Edit").click()
    expect(ended).to_be_visible()
    sentence, drawing = ended.bounding_box(), page.locator("svg.drawing").bounding_box()
    assert sentence["y"] + sentence["height"] <= drawing["y"]


def test_a_camera_that_is_not_there_is_said(visit: Callable[..., Any]) -> None:
    """An unknown camera shows an error with links to the existing ones."""
    page = visit("/#/edit/nobody")

    expect(page.get_by_role("alert").filter(has_text='no camera "nobody"')).to_be_visible()
    named(page, "link", "Edit").click()

    expect(named(page, "heading", "Edit: hall")).to_be_visible()


@pytest.mark.parametrize("path", ["/", "/#/edit/hall"])
@pytest.mark.parametrize("width", [1280, 360])
def test_nothing_jumps(visit: Callable[..., Any], path: str, width: int) -> None:
    """No layout shifts occur while people and numbers change.

    A new event moves the earlier ones in their list; that does not count.
    """
    page = visit("/api/session", viewport={"width": width, "height": 780})
    page.add_init_script(
        "window.jumps = []; new PerformanceObserver((list) => {"
        "  for (const { value, sources } of list.getEntries()) {"
        "    const moved = sources.map(({ node }) => node);"
        "    if (!moved.every((node) => node?.closest?.('.events li')))"
        "      window.jumps.push([value, ...moved.map((node) => node?.outerHTML)]);"
        "  }"
        "}).observe({ type: 'layout-shift', buffered: true });"
    )

    page.goto(page.url.removesuffix("/api/session") + path)
    wait_lit(page)
    if path == "/":
        expect(page.locator(".events time").first).to_be_attached()
        expect(named(page, "article", "hall").get_by_text("fps")).to_be_visible()

    jumps = page.evaluate("window.jumps")
    assert sum(value for value, *_ in jumps) < 0.01, jumps


def test_the_picture_is_shown_only_where_allowed(visit: Callable[..., Any], house: House) -> None:
    """Pictures appear only with `web.picture`, and can be hidden in the browser."""
    page = visit()
    wait_lit(page)
    dark = wait_lit(page)["count"]
    assert page.get_by_text("Camera picture", exact=True).is_hidden()

    house.write(house.text.replace("[web]", "[web]\npicture = true"))
    page.reload()

    expect(page.get_by_text("Camera pictures are shown here")).to_be_visible()
    expect(page.get_by_text("Camera picture", exact=True)).to_be_visible()
    assert wait_lit(page)["count"] > 2 * dark
    badge, seen = (page.locator(part).bounding_box() for part in (".badge", "canvas"))
    assert badge["y"] >= seen["y"] + seen["height"], "it covers somebody's name"
    named(page, "checkbox", "Show them").uncheck()
    expect(page.get_by_text("Camera picture", exact=True)).to_be_hidden()


def imported(module: str, how: str) -> set[str]:
    """Return a module and all its imports, ``from`` or dynamic ``import(``."""
    found, due = set(), {module}
    while due:
        name = due.pop()
        found.add(name)
        text = (STATIC / name).read_text()
        due |= set(re.findall(rf'(?:{how})\s?"\./(\w+\.js)"', text)) - found
    return found


def test_all_parts_of_the_first_view_are_asked_for_at_once() -> None:
    """All modules of the first view are preloaded by the HTML; the editor's are not."""
    page = (STATIC / "index.html").read_text()
    first, all_of_them = imported("main.js", "from"), imported("main.js", r"from|import\(")

    asked = set(re.findall(r'"static/(\w+\.js)"', page))

    assert asked == first | {"theme.js"}
    assert all_of_them - first >= {"editor.js", "shape_editor.js"}
    assert all_of_them | {"theme.js"} == {path.name for path in STATIC.glob("*.js")}


def test_the_first_view_asks_for_little_and_once(visit: Callable[..., Any]) -> None:
    """The first view takes at most 20 requests and 80 kB, without repetitions."""
    page = visit("/api/session")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))

    page.goto(page.url.removesuffix("/api/session"))
    expect(named(page, "article", "hall")).to_be_visible()
    sizes = page.evaluate("performance.getEntriesByType('resource').map((e) => e.transferSize)")

    assert len(asked) == len(set(asked)) <= 20, asked
    assert sum(sizes) < 80_000


# Drawing


def test_a_zone_drawn_by_mouse_is_in_force(visit: Callable[..., Any], house: House) -> None:
    """It is published at once and written to the file, whose comments stay."""
    page = aim(visit)

    with witness(house.broker.port, STATE) as watcher:
        draw(page, WAVER, "stove")
        page.get_by_label("Resting place").check()
        save(page)
        watcher.until(
            lambda message: told(message.payload)["zones"].get("stove", {}).get("occupied", False),
            20,
        )

    text = house.file.read_text()
    assert near(polygon(house, "stove"), WAVER)
    assert house.configured()["zone"][0]["kind"] == "rest"
    assert all(line in text for line in house.text.splitlines())
    kept = [path for path in house.file.parent.iterdir() if path.name.startswith(house.file.name)]
    assert house.text in [path.read_text() for path in kept if path != house.file]
    named(page, "link", "All cameras").click()
    expect(page.get_by_text("stove: 1 person")).to_be_visible()
    page.reload()
    expect(page.get_by_text("stove: 1 person")).to_be_visible()


def test_shapes_are_pulled_into_form_and_back(visit: Callable[..., Any]) -> None:
    """Corners can be moved, added and deleted, shapes moved; undo and redo cover all of it."""
    page = aim(visit)
    undo, redo = (named(page, "button", name) for name in ("Undo", "Redo"))

    def corners() -> int:
        return int(page.locator("[data-part=corner]").count())

    named(page, "button", "Draw a zone").click()
    drag(page, (0.2, 0.2), (0.4, 0.5))
    assert corners() == 4
    drag(page, (0.4, 0.35), (0.6, 0.35))
    assert corners() == 5
    page.locator("[data-part=corner]").nth(2).focus()
    page.keyboard.press("Delete")
    assert corners() == 4
    before = page.locator("[data-part=shape]").get_attribute("d")
    drag(page, (0.3, 0.3), (0.5, 0.4), (0.5, 0.5))
    after = page.locator("[data-part=shape]").get_attribute("d")

    assert after != before
    undo.click()
    assert page.locator("[data-part=shape]").get_attribute("d") == before
    for _ in range(3):
        undo.click()
    assert page.locator("[data-part=shape]").count() == 0
    assert undo.is_disabled()
    for _ in range(4):
        redo.click()
    assert page.locator("[data-part=shape]").get_attribute("d") == after
    assert redo.is_disabled()
    named(page, "button", "Delete zone zone-1").click()
    assert page.locator("[data-part=shape]").count() == 0
    expect(undo).to_be_focused()


def test_everything_can_be_done_by_keyboard(visit: Callable[..., Any], house: House) -> None:
    """A zone can be drawn and saved without a mouse."""
    page = visit()
    wait_lit(page)

    def tab_to(name: str, limit: int = 60) -> None:
        for _ in range(limit):
            page.keyboard.press("Tab")
            found = page.evaluate(
                "document.activeElement.getAttribute('aria-label') ??"
                " (document.activeElement.labels?.[0] ?? document.activeElement).innerText"
            )
            if found and found.strip().startswith(name):
                return
        raise AssertionError(f"Tab does not lead to {name}")

    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    tab_to("Edit")
    press("Enter")
    expect(named(page, "heading", "Edit: hall")).to_be_focused()
    tab_to("Draw a zone")
    press("Enter")
    expect(page.locator("svg.drawing")).to_be_focused()
    press(*["Shift+ArrowDown"] * 4, *["Shift+ArrowLeft"] * 6, "Enter")
    press(*["Shift+ArrowRight"] * 4, "Enter", *["Shift+ArrowDown"] * 5, "Enter")
    press("Shift+ArrowLeft", "Enter", "Backspace", *["Shift+ArrowLeft"] * 3, "Enter", "Enter")
    expect(page.get_by_role("status").filter(has_text="Zone drawn")).to_be_attached()
    page.keyboard.type("stove")
    page.keyboard.press("Shift+Tab")
    tab_to("Resting place")
    press(" ")
    for _ in range(60):
        press("Shift+Tab")
        if page.evaluate("document.activeElement.dataset.part") == "shape":
            break
    press("Enter", "ArrowUp", "ArrowUp")
    expect(page.get_by_label("Zone stove, corner 1 of 4")).to_be_focused()
    press("Delete", "Control+z")
    tab_to("Save")
    press("Enter")
    expect(page.get_by_text("Saved and applied.")).to_be_visible()
    expect(named(page, "button", "Save")).to_be_focused()

    assert near(polygon(house, "stove"), ((0.2, 0.68), (0.4, 0.7), (0.4, 0.95), (0.2, 0.95)))
    assert house.configured()["zone"][0]["kind"] == "rest"


def test_a_finger_draws_and_drags(visit: Callable[..., Any], house: House) -> None:
    """On a touch screen taps set corners and dragging moves them."""
    phone = {"viewport": {"width": 360, "height": 780}, "has_touch": True, "is_mobile": True}
    page = aim(visit, **phone)

    named(page, "button", "Draw a mask").tap()
    for corner in ((0.1, 0.1), (0.5, 0.1), (0.5, 0.5), (0.1, 0.1)):
        page.touchscreen.tap(*place(page, corner))
    expect(named(page, "button", "Mask 1")).to_be_attached()
    finger = page.context.new_cdp_session(page)
    stops = [place(page, at) for at in ((0.5, 0.5), (0.6, 0.6), (0.8, 0.7))]
    for type_, (x, y) in zip(("touchStart", "touchMove", "touchMove"), stops, strict=True):
        touch = {"type": type_, "touchPoints": [{"x": x, "y": y}]}
        finger.send("Input.dispatchTouchEvent", touch)
    finger.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    save(page)

    assert near(house.configured()["masks"][0], ((0.1, 0.1), (0.5, 0.1), (0.8, 0.7)))


def test_a_turned_picture_takes_what_is_drawn_along(
    visit: Callable[..., Any], house: House
) -> None:
    """The rotation is shown before saving; the zone is transformed with it."""
    page = aim(visit)
    draw(page, WAVER, "stove")
    wide = page.locator("svg.drawing").bounding_box()

    named(page, "radio", "90°").check()
    tall = page.locator("svg.drawing").bounding_box()
    page.get_by_label("Mirror").check()
    with witness(house.broker.port, "edgepose/hall-pi/hall/#") as watcher:
        save(page)
        turned = watcher.until(
            lambda message: (
                message.topic.endswith("poses") and told(message.payload)["height"] > 400
            )
        )
        watcher.until(
            lambda message: (
                message.topic == STATE and told(message.payload)["zones"]["stove"]["occupied"]
            ),
            20,
        )

    assert wide["width"] > wide["height"]
    assert tall["width"] < tall["height"]
    assert told(turned.payload)["width"] == 360
    # A quarter turn maps (x, y) to (1 - y, x), and a mirror maps that to (y, x).
    assert near(polygon(house, "stove"), tuple((y, x) for x, y in WAVER))


def test_a_region_is_pulled_and_given_up(visit: Callable[..., Any], house: House) -> None:
    """A region is drawn as a rectangle; a button resets it to the whole picture."""
    page = aim(visit)

    named(page, "button", "Select a region").click()
    drag(page, (0.1, 0.1), (0.25, 0.3))
    save(page)
    chosen = house.configured()["roi"]
    named(page, "button", "Whole picture").click()
    save(page)

    assert near([chosen], ((0.25, 0.3, 0.65, 0.6),))
    assert house.configured()["roi"] == [0, 0, 1, 1]


def test_a_threshold_is_in_force_while_it_moves(visit: Callable[..., Any], house: House) -> None:
    """The slider sets the camera at once; discarding restores, saving writes the file."""
    page = aim(visit)
    slider = named(page, "slider", "Keypoints")

    def in_force(score: float) -> Callable[[Any], bool]:
        return lambda message: told(message.payload)["settings"]["min_keypoint_score"] == score

    with witness(house.broker.port, STATE) as watcher:
        slider.fill("0.8")
        watcher.until(in_force(0.8))
        named(page, "button", "Discard").click()
        watcher.until(in_force(0.3))
        slider.fill("0.6")
        watcher.until(in_force(0.6))
        save(page)

    assert "min_keypoint_score = 0.6" in house.file.read_text()
    with witness(house.broker.port, STATE) as watcher:
        assert wait_until(lambda: any(map(in_force(0.6), watcher.noted())))


def test_a_refused_value_shows_why_at_its_field(visit: Callable[..., Any], house: House) -> None:
    """The message is that of `config check`; the file is unchanged and the field has the focus."""
    page = aim(visit)
    field = named(page, "textbox", "Name")
    problem = page.locator(".settings .problem:visible")
    draw(page, ((0.2, 0.2), (0.6, 0.6), (0.6, 0.2), (0.2, 0.7)), "stove")

    named(page, "button", "Save").click()
    expect(problem).to_contain_text("cross")
    expect(field).to_have_attribute("aria-invalid", "true")
    expect(field).to_be_focused()
    assert problem.get_attribute("id") in field.get_attribute("aria-describedby").split()
    assert house.file.read_text() == house.text

    drag(page, (0.6, 0.6), (0.6, 0.15), (0.3, 0.15))
    drag(page, (0.2, 0.7), (0.6, 0.7))
    expect(problem).to_have_count(0)
    save(page)
    assert house.configured()["zone"][0]["id"] == "stove"


def test_a_zone_has_a_name_in_any_letters(visit: Callable[..., Any], house: House) -> None:
    """The id is derived from the first name in ASCII, and does not change with later names."""
    page = aim(visit)
    draw(page, WAVER, "Küche, am Fenster")
    expect(page.get_by_text("In messages: kuche-am-fenster")).to_be_visible()
    draw(page, ((0.7, 0.7), (0.9, 0.7), (0.9, 0.9)), "Kuche am Fenster!")
    named(page, "textbox", "Camera name").fill("Flur «unten»")
    save(page)
    first = house.configured()

    named(page, "textbox", "Name").first.fill("Herd")
    save(page)
    second = house.configured()

    assert first["name"] == "Flur «unten»"
    assert [(zone["id"], zone["name"]) for zone in first["zone"]] == [
        ("kuche-am-fenster", "Küche, am Fenster"),
        ("kuche-am-fenster-2", "Kuche am Fenster!"),
    ]
    assert [(zone["id"], zone["name"]) for zone in second["zone"]] == [
        ("kuche-am-fenster", "Herd"),
        ("kuche-am-fenster-2", "Kuche am Fenster!"),
    ]
    named(page, "link", "All cameras").click()
    expect(named(page, "heading", "Flur «unten»")).to_be_visible()
    expect(page.get_by_text("Herd: 1 person")).to_be_visible()


def test_a_line_is_drawn_with_its_sides(visit: Callable[..., Any], house: House) -> None:
    """A line has two or more points, a name and two side names; its points can be dragged."""
    page = aim(visit)
    named(page, "button", "Draw a line").click()
    for corner in ((0.1, 0.8), (0.5, 0.85), (0.9, 0.8), (0.9, 0.8)):
        page.mouse.click(*place(page, corner))
    named(page, "textbox", "Name").fill("Türe")
    named(page, "textbox", "Left side").fill("Hof")
    named(page, "textbox", "Right side").fill("Hof")
    named(page, "button", "Save").click()
    problem = page.locator(".settings .problem:visible")
    expect(problem).to_have_count(1)
    expect(named(page, "textbox", "Left side")).to_be_focused()

    named(page, "textbox", "Right side").fill("Mein Flur")
    expect(problem).to_have_count(0)
    drag(page, (0.5, 0.85), (0.5, 0.9))
    save(page)
    (line,) = house.configured()["line"]

    assert (line["id"], line["name"]) == ("ture", "Türe")
    assert line["sides"] == ["hof", "mein-flur"]
    assert near(line["points"], ((0.1, 0.8), (0.5, 0.9), (0.9, 0.8)))
    page.get_by_label("Mirror").check()
    save(page)
    (mirrored,) = house.configured()["line"]
    assert near(mirrored["points"], ((0.1, 0.8), (0.5, 0.9), (0.9, 0.8)))
    named(page, "button", "Delete line Türe").click()
    save(page)
    assert "line" not in house.configured()


def test_a_line_is_drawn_by_keyboard(visit: Callable[..., Any], house: House) -> None:
    """Enter sets a point; Enter on the last point finishes."""
    page = aim(visit)
    named(page, "button", "Draw a line").press("Enter")
    page.keyboard.press("Enter")
    for _ in range(4):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    expect(named(page, "textbox", "Name")).to_be_focused()
    save(page)

    (line,) = house.configured()["line"]
    assert line["id"] == "line-1"
    assert near(line["points"], ((0.5, 0.5), (0.7, 0.5)))


def test_the_floor_gets_its_metres(visit: Callable[..., Any], house: House) -> None:
    """The floor has four points with two lengths or four positions; a grid shows the scale."""
    page = aim(visit)
    corners = ((0.3, 0.6), (0.7, 0.6), (0.9, 0.95), (0.1, 0.95))
    named(page, "button", "Mark the floor").click()
    for corner in corners:
        page.mouse.click(*place(page, corner))
    grid = page.locator("path.grid")
    expect(page.get_by_text("grid of 0.5 m")).to_be_visible()
    coarse = len(grid.get_attribute("d"))
    named(page, "spinbutton", "First to second point, metres").fill("2")
    named(page, "spinbutton", "Second to third point, metres").fill("3.5")
    assert len(grid.get_attribute("d")) > coarse
    save(page)
    floor = house.configured()["floor"]
    assert near(floor["points"], corners)
    assert (floor["size"], "metres" in floor) == ([2, 3.5], False)

    page.get_by_label("The points are not the corners of a rectangle").check()
    named(page, "spinbutton", "Point 3, x in metres").fill("2.4")
    save(page)
    assert house.configured()["floor"]["metres"] == [[0, 0], [2, 0], [2.4, 3.5], [0, 3.5]]

    named(page, "button", "Delete the floor").click()
    expect(grid).to_have_count(0)
    save(page)
    assert "floor" not in house.configured()


def test_every_type_of_event_has_words() -> None:
    """None is shown by its bare name."""
    script = (STATIC / "format.js").read_text(encoding="utf-8")
    table = script.partition("const EVENTS = {")[2].partition("\n};")[0]

    assert set(re.findall(r"^  (\w+):", table, re.MULTILINE)) == set(TYPES)


def test_an_event_links_to_its_clip(chromium: Any) -> None:
    """An event links to its clip while that is kept; requested clips belong to no event."""
    fall = {"v": 1, "type": "fall_suspected", "camera": "hall", "person": 1, "data": {}}
    hello = HELLO | {"device": {"id": "pi", "name": "Pi"}, "keypoints": [], "skeleton": []}
    said = msgspec.Raw(json.dumps(hello).encode())
    with (
        site(hello=said) as running,
        browsing(chromium, f"http://127.0.0.1:{running.port}/") as page,
    ):
        for number in (1, 2):
            event = fall | {"id": f"e{number}", "at": "2026-11-22T20:05:01.123Z"}
            running.tell("event", json.dumps(event).encode(), "hall")
        running.tell("clip", b"RIFF----WEBP", "hall")
        link = page.locator('[data-event="e2"]').get_by_role("link", name="Clip")
        expect(link).to_be_visible()
        found = page.request.get(page.evaluate("(link) => link.href", link.element_handle()))

        assert found.body() == b"RIFF----WEBP"
        assert found.headers["content-type"] == "image/webp"
        expect(page.locator('[data-event="e1"] .clip')).to_have_count(0)
        page.reload()
        expect(link).to_be_visible()


# Two browsers


@pytest.mark.parametrize("answer", ["Save mine", "Use the file's"])
def test_two_browsers_do_not_overwrite_each_other_silently(
    visit: Callable[..., Any], house: House, answer: str
) -> None:
    """The second browser asks whether to save its own changes or to use the file's."""
    first, second = aim(visit), aim(visit)
    draw(second, WAVER, "stove")

    first.get_by_label("Mirror").check()
    save(first)
    named(second, "button", "Save").click()

    question = second.get_by_role("dialog")
    expect(question).to_contain_text("The file was changed meanwhile")
    expect(question).to_contain_text("the mirroring")
    named(question, "button", answer).click()
    if answer == "Save mine":
        expect(second.get_by_text("Saved and applied.")).to_be_visible()
        # The zone is mirrored together with the other browser's change.
        assert near(polygon(house, "stove"), tuple((1 - x, y) for x, y in WAVER))
    else:
        expect(second.get_by_text("These are the values of the file.")).to_be_visible()
        assert "zone" not in house.configured()
    assert house.configured()["mirror"] is True
    expect(second.get_by_label("Mirror")).to_be_checked()


def test_one_who_only_looks_sees_what_another_saves(visit: Callable[..., Any]) -> None:
    """A viewer shows saved changes without a reload."""
    editor, viewer = aim(visit), visit()
    draw(editor, WAVER, "stove")

    save(editor)

    expect(viewer.get_by_text("stove: 1 person")).to_be_visible()


def test_leaving_with_changes_asks(visit: Callable[..., Any], house: House) -> None:
    """The answer *Stay* keeps the changes, *Leave* discards them."""
    page = aim(visit)
    page.get_by_label("Mirror").check()

    named(page, "link", "All cameras").click()
    named(page, "button", "Stay").click()
    expect(page.get_by_label("Mirror")).to_be_checked()
    named(page, "link", "All cameras").click()
    named(page, "button", "Leave without saving").click()

    expect(named(page, "article", "hall")).to_be_visible()
    assert house.file.read_text() == house.text


# Accessibility


def violations(page: Any) -> list[str]:
    """Return the violations found by axe-core, including best practices."""
    from axe_playwright_python.sync_playwright import Axe

    found = Axe().run(page).response["violations"]
    return [f"{each['id']}: {[node['html'] for node in each['nodes']]}" for each in found]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 360])
def test_axe_finds_nothing(visit: Callable[..., Any], scheme: str, width: int) -> None:
    """All cameras, the editor with all elements, and a dialog have no violations."""
    page = visit(color_scheme=scheme, viewport={"width": width, "height": 860})
    wait_lit(page)
    found = violations(page)

    page.goto(f"{page.url}#/edit/hall")
    draw(page, ((0.2, 0.5), (0.4, 0.7), (0.4, 0.5), (0.2, 0.7)), "crossed")
    named(page, "button", "Draw a line").click()
    drag(page, (0.1, 0.9), (0.5, 0.9))
    named(page, "button", "Mark the floor").click()
    drag(page, (0.5, 0.6), (0.9, 0.9))
    named(page, "button", "Draw a mask").click()
    drag(page, (0.6, 0.1), (0.8, 0.3))
    named(page, "button", "Select a region").click()
    found += violations(page)
    named(page, "button", "Save").click()
    expect(page.locator(".settings .problem:visible")).to_have_count(1)
    found += violations(page)
    named(page, "link", "All cameras").click()
    expect(page.get_by_role("dialog")).to_be_visible()
    found += violations(page)

    assert found == []
    named(page, "button", "Leave without saving").click()


def test_it_fits_a_phone(visit: Callable[..., Any]) -> None:
    """At 360 pixels nothing overflows, and all controls are large enough for touch."""
    page = visit(viewport={"width": 360, "height": 780}, has_touch=True, is_mobile=True)
    wait_lit(page)
    wide = "document.documentElement.scrollWidth"
    small = """[...document.querySelectorAll("a, button, input, .dot + .handle")]
      .filter((each) => each.checkVisibility({ visibilityProperty: true }))
      .map((each) => (each.closest("label, .choice span") ?? each))
      .filter((each) => !each.matches(".skip"))
      .map((each) => [each.outerHTML, each.getBoundingClientRect()])
      .filter(([, box]) => box.height < 24 || box.width < 24)
      .map(([html]) => html)"""

    widths, smalls = [page.evaluate(wide)], page.evaluate(small)
    named(page, "link", "Edit").tap()
    expect(named(page, "button", "Save")).to_be_visible()
    named(page, "button", "Select a region").tap()
    widths, smalls = [*widths, page.evaluate(wide)], smalls + page.evaluate(small)

    assert widths == [360, 360]
    assert smalls == []


def test_light_and_dark_are_chosen_and_kept(visit: Callable[..., Any]) -> None:
    """The colours follow the system, or a switch whose choice is stored."""
    page = visit(color_scheme="light")
    ground = "getComputedStyle(document.body).backgroundColor"
    switch = page.get_by_role("button", name="Colours")
    expect(switch).to_be_visible()
    seen = [page.evaluate(ground)]

    page.emulate_media(color_scheme="dark")
    seen.append(page.evaluate(ground))
    switch.click()
    seen.append(page.evaluate(ground))
    page.reload()
    expect(named(page, "button", "Colours: light")).to_be_visible()
    seen.append(page.evaluate(ground))

    light, dark = seen[:2]
    assert light != dark
    assert seen == [light, dark, light, light]


# Access


def test_beyond_this_machine_it_asks_for_the_token(chromium: Any, tmp_path: Path) -> None:
    """A wrong token shows an error, the right one signs in, signing out ends the session."""
    beyond = House(tmp_path, host="0.0.0.0")
    token = beyond.run("web", "token", "-c", str(beyond.file)).split()[-1]

    with beyond, browsing(chromium, beyond.url) as page:
        field = page.get_by_label("Token")
        expect(field).to_be_focused()
        found = violations(page)
        field.fill("wrong")
        field.press("Enter")
        expect(page.get_by_role("alert").filter(has_text="Wrong token")).to_be_visible()
        field.fill(token)
        field.press("Enter")
        wait_lit(page)
        named(page, "button", "Sign out").click()
        expect(field).to_be_visible()

        assert found == []
        assert token not in beyond.file.read_text()


ATTACK: Final = """async (where) => {
  const set = (mode, type) => fetch(`${where}/api/cameras/hall/set`, {
    method: "POST", mode, headers: { "Content-Type": type }, body: '{"paused": true}',
  });
  const line = () => new Promise((done, failed) => {
    const socket = new WebSocket(`${where.replace("http", "ws")}/api/live`);
    socket.onopen = done;
    socket.onerror = failed;
  });
  const tries = [
    set("no-cors", "text/plain"), set("cors", "application/json"), line(),
    fetch(`${where}/api/config`),
  ];
  return (await Promise.allSettled(tries)).map(({ status }) => status);
}"""


def test_another_sites_page_in_the_same_browser_can_do_nothing(
    visit: Callable[..., Any], house: House
) -> None:
    """Requests of another site's page are all rejected."""
    page = visit()
    with one_word() as elsewhere:
        page.goto(elsewhere)

        tried = page.evaluate(ATTACK, house.url)

    assert tried == ["rejected"] * 4
    page.goto(house.url)
    wait_lit(page)
    expect(named(page, "button", "Pause: hall")).to_be_visible()


SHOW: Final = """url => {
  const image = document.createElement("img");
  image.src = url;
  document.body.append(image);
}"""


def test_a_dashboard_elsewhere_shows_skeletons_by_the_token_of_programs(
    visit: Callable[..., Any], house: House
) -> None:
    """Another site may embed the skeletons with the read token, and not without."""
    token = house.run("web", "token", "--read-only", "-c", str(house.file)).strip()
    url = f"{house.url}/api/v1/cameras/hall/skeletons.mjpeg?size=320"
    with one_word() as elsewhere:
        page = visit()
        page.goto(elsewhere)

        page.evaluate(SHOW, f"{url}&token={token}")
        page.evaluate(SHOW, url)

        width = "i => document.images[i].naturalWidth"
        assert settled(page, lambda: page.evaluate(width, 0) == 320, 20)
        assert page.evaluate(width, 1) == 0


# For the documentation


def test_pictures_for_the_docs(visit: Callable[..., Any], house: House, tmp_path: Path) -> None:
    """The pictures in `docs/web.md` are screenshots of this test."""
    folder = Path(PICTURES or tmp_path)
    sofa = '\n  [[camera.zone]]\n  id = "sofa"\n  kind = "rest"\n  polygon = {}\n'
    door = '\n  [[camera.zone]]\n  id = "door"\n  polygon = {}\n'
    shapes = [[0.62, 0.52], [0.93, 0.52], [0.97, 0.76], [0.62, 0.76]]
    zones = sofa.format(json.dumps(WAVER)) + door.format(json.dumps(shapes))
    house.write(house.text + zones)

    for name, path, settings in (
        ("page-live", "/", {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"}),
        ("page-draw", "/#/edit/hall", {"color_scheme": "dark"}),
        ("page-phone", "/", {"viewport": {"width": 360, "height": 780}, "color_scheme": "dark"}),
    ):
        page = visit(path, device_scale_factor=1.5, **settings)
        wait_lit(page)
        if name == "page-draw":
            page.mouse.click(*place(page, (0.8, 0.6)))
        else:
            expect(page.get_by_text("sofa: 1 person")).to_be_visible()
            expect(page.locator(".events time").nth(3)).to_be_visible()
            expect(page.get_by_text(" MB")).to_be_attached()
            expect(page.get_by_text(re.compile(r"^\d+ ms$"))).to_be_visible()
        page.screenshot(path=folder / f"{name}.png")
        page.close()
    page = visit("/", viewport={"width": 1000, "height": 640}, color_scheme="dark")
    wait_lit(page)
    film(page, folder / "page.webp")

    assert len(list(folder.glob("page-*.png"))) == 3
    assert (folder / "page.webp").stat().st_size < 2_000_000


def film(page: Any, file: Path) -> None:
    """Write ten seconds of a page as an animated WebP, which browsers show without a player."""
    frames = []
    for _ in range(30):
        encoded = np.frombuffer(page.screenshot(), np.uint8)
        frames.append(cv2.imdecode(encoded, cv2.IMREAD_COLOR))
        page.wait_for_timeout(250)
    animation = cv2.Animation()
    animation.frames, animation.durations = frames, [330] * len(frames)
    assert cv2.imwriteanimation(str(file), animation, [cv2.IMWRITE_WEBP_QUALITY, 60])


class TestBelowAPrefix:
    """The page below a path prefix of a proxy, which strips the prefix."""

    @pytest.fixture(scope="class")
    @staticmethod
    def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
        """Serve a page on all addresses, with a trusted proxy."""
        more = f'trusted_proxies = ["{PROXY}"]'
        with House(tmp_path_factory.mktemp("shared"), host="0.0.0.0", more=more) as running:
            yield running

    def test_home_assistants_ingress_shows_all_of_it_without_a_token(
        self, chromium: Any, shared: House
    ) -> None:
        """In an iframe people are drawn and a zone is saved; all requests have the prefix."""
        prefix = "/api/hassio_ingress/AbC-dEf_123"
        with (
            prefixed(shared.url, prefix, address=PROXY, session="known") as proxy,
            browsing(chromium, proxy.frame) as window,
        ):
            frame = window.frame_locator("iframe")
            expect(frame.get_by_role("status").get_by_text("live", exact=True)).to_be_visible()
            assert settled(window, lambda: frame.locator("canvas").evaluate(LIT)["count"] > 500, 20)
            assert frame.get_by_label("Token").count() == 0

            frame.get_by_role("link", name="Edit").click()
            field = frame.get_by_role("button", name="Draw a zone", exact=True)
            expect(field).to_be_visible()
            field.click()
            box = frame.locator("svg.drawing").bounding_box()
            for x, y in (*WAVER, WAVER[0]):
                window.mouse.click(box["x"] + x * box["width"], box["y"] + y * box["height"])
            frame.get_by_role("textbox", name="Name").last.fill("sofa")
            frame.get_by_role("button", name="Save", exact=True).click()
            expect(frame.get_by_text("Saved and applied.")).to_be_visible()

            assert shared.configured()["zone"][0]["id"] == "sofa"
            assert proxy.outside == []
        shared.restore()

    def test_the_proxys_own_session_is_asked_for(self, chromium: Any, shared: House) -> None:
        """Without the proxy's session it answers 401; direct access needs a token."""
        with (
            prefixed(shared.url, "/ingress", address=PROXY, session="known") as proxy,
            browsing(chromium, f"{proxy.url}api/config") as window,
        ):
            assert "401" in window.locator("body").inner_text()
        with browsing(chromium, shared.url) as direct:
            expect(direct.get_by_label("Token")).to_be_visible()

    def test_a_proxy_of_ones_own_asks_for_the_token(self, chromium: Any, shared: House) -> None:
        """The session cookie's path is the prefix."""
        token = shared.run("web", "token", "-c", str(shared.file)).strip()
        with (
            prefixed(shared.url, "/pose") as proxy,
            browsing(chromium, proxy.url) as window,
        ):
            window.get_by_label("Token").fill(token)
            named(window, "button", "Sign in").click()
            expect(window.get_by_text("live", exact=True)).to_be_visible()
            wait_lit(window)
            cookies = window.context.cookies()
            assert [(it["name"], it["path"]) for it in cookies] == [
                ("edgepose-session", "/pose/api")
            ]

            named(window, "button", "Sign out").click()
            expect(window.get_by_label("Token")).to_be_visible()
            assert window.context.cookies() == []
            assert proxy.outside == []
