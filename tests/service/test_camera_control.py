"""Commands and snapshots end to end, with the real daemon and a real broker."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from paho.mqtt.client import Client
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edgepose.types import Image
from tests.service.test_daemon import CAMERA, Running
from tests.support.brokers import (
    Mosquitto,
    Witness,
    needs_mosquitto,
    wait_until,
    with_passwords,
    witness,
)
from tests.support.discovery import complaints

pytestmark = [needs_mosquitto, pytest.mark.slow]

DEPLOY = Path(__file__).parents[2] / "deploy"
DEFAULT_LOOKS = 6  # of `policies.Refine`
DEVICE = "edgepose/test-pi"
ZONE = '[[camera.zone]]\nid = "rug"\npolygon = [[0,0],[1,0],[1,1],[0,1]]\n'
ON_GESTURE = 'snapshot_on = ["gesture"]\n'
DISCOVERY = "homeassistant/device/test-pi/config"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Mosquitto]:
    with Mosquitto(tmp_path) as running:
        yield running


@pytest.fixture
def seen(broker: Mosquitto) -> Iterator[Witness]:
    with witness(broker.port) as outside:
        yield outside


@pytest.fixture
def start(tmp_path: Path, broker: Mosquitto) -> Iterator[Callable[..., Running]]:
    started: list[Running] = []

    def run(tables: str = CAMERA + ZONE, url: str = "") -> Running:
        started.append(Running(tmp_path, url or broker.url, tables))
        return started[-1]

    yield run
    for running in started:
        running.process.kill()
        running.process.wait(10)


def state(seen: Witness, wanted: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Wait for a matching state and return it."""
    topic = f"{DEVICE}/hall/state"
    message = seen.until(lambda m: m.topic == topic and wanted(json.loads(m.payload)), timeout_s=30)
    found: dict[str, Any] = json.loads(message.payload)
    return found


def ask(seen: Witness, verb: str, request: dict[str, Any]) -> dict[str, Any]:
    """Send a request and return the response."""
    seen.publish(f"{DEVICE}/request/{verb}", json.dumps(request).encode())
    found: dict[str, Any] = json.loads(seen.on(f"{DEVICE}/response/{verb}").payload)
    return found


def picture(jpeg: bytes) -> Image:
    """Decode a JPEG."""
    found = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert found is not None
    return np.asarray(found, dtype=np.uint8)


def test_a_paused_camera_looks_at_nothing_and_says_so(
    start: Callable[..., Running], seen: Witness
) -> None:
    """A paused camera reports no people, also after a restart, until it is resumed."""
    first = start()
    state(seen, lambda s: s["occupied"] and s["zones"]["rug"]["count"] == 1)
    seen.publish(f"{DEVICE}/hall/set", b'{"paused":true}')
    paused = state(seen, lambda s: s["paused"])
    first.process.kill()
    first.wait()
    start()
    again = state(seen, lambda s: s["paused"])
    seen.on(f"{DEVICE}/hall/availability", b"online", timeout_s=30)
    stats = json.loads(seen.on(f"{DEVICE}/stats", timeout_s=30).payload)
    seen.publish(f"{DEVICE}/hall/set", b'{"paused":false}')

    assert (paused["occupied"], paused["count"], paused["posture"]) == (False, 0, "unknown")
    assert paused["zones"] == {"rug": {"occupied": False, "count": 0, "longest_s": 0}}
    assert again == paused
    assert stats["cameras"]["hall"]["frames"] == 0
    assert state(seen, lambda s: s["occupied"])["paused"] is False


def test_after_a_pause_nobody_is_there_who_is_not_seen_anew(
    start: Callable[..., Running], seen: Witness
) -> None:
    """After a pause presence and zones are empty until people are detected again."""
    start(CAMERA + ZONE + "[events]\npresence_on_s = 1\n")
    state(seen, lambda s: s["occupied"] and s["zones"]["rug"]["count"] == 1)
    before = json.loads(seen.on(f"{DEVICE}/hall/poses").payload)
    seen.publish(f"{DEVICE}/hall/set", b'{"paused":true}')
    state(seen, lambda s: s["paused"])
    seen.publish(f"{DEVICE}/hall/set", b'{"paused":false}')

    first = state(seen, lambda s: not s["paused"])
    later = state(seen, lambda s: s["occupied"])

    assert (first["occupied"], first["count"], first["posture"]) == (False, 0, "unknown")
    assert first["zones"]["rug"] == {"occupied": False, "count": 0, "longest_s": 0}
    assert later["count"] == 1
    assert min(one["id"] for one in people(seen)) > max(one["id"] for one in before["poses"])


def people(seen: Witness) -> list[dict[str, Any]]:
    """Wait for a frame with people and return them."""
    topic = f"{DEVICE}/hall/poses"
    found = seen.until(lambda m: m.topic == topic and json.loads(m.payload)["poses"])
    listed: list[dict[str, Any]] = json.loads(found.payload)["poses"]
    return listed


def test_settings_take_effect_at_once_and_show_in_the_state(
    start: Callable[..., Running], seen: Witness
) -> None:
    """A minimum score of 1 gives no people; null restores the file's value."""
    start()
    state(seen, lambda s: s["occupied"])
    seen.publish(f"{DEVICE}/hall/set", b'{"min_pose_score":1,"fall":false,"fps":5}')
    changed = state(seen, lambda s: s["settings"]["fps"] == 5)
    empty = json.loads(
        seen.until(
            lambda m: m.topic.endswith("/poses") and not json.loads(m.payload)["poses"]
        ).payload
    )
    seen.publish(f"{DEVICE}/hall/set", b'{"min_pose_score":null}')
    back = state(seen, lambda s: s["settings"]["min_pose_score"] != 1)
    seen.until(lambda m: m.topic.endswith("/poses") and bool(json.loads(m.payload)["poses"]))

    assert changed["settings"]["fall"] is False
    assert empty["poses"] == []
    assert back["settings"] == changed["settings"] | {"min_pose_score": 0.25}


def test_second_looks_keep_to_the_rate_in_force(
    start: Callable[..., Running], seen: Witness
) -> None:
    """A lower rate allows more refinements per frame; the log names the number."""
    running = start(CAMERA + ZONE + '[model]\nname = "posenet-uint8+movenet-lightning-int8"\n')
    told = f"{DEVICE}/status"
    message = seen.until(lambda m: m.topic == told and b'"online"' in m.payload, timeout_s=30)
    before = looks(running)

    seen.publish(f"{DEVICE}/hall/set", b'{"fps":0.5}')
    state(seen, lambda s: s["settings"]["fps"] == 0.5)

    assert json.loads(message.payload)["policy"] == "refine"
    assert wait_until(lambda: looks(running) > before)


def looks(running: Running) -> int:
    """Return the last logged number of refinements per frame, or the default."""
    found = re.findall(r"again at up to (\d+) in each", running.said())
    return int(found[-1]) if found else DEFAULT_LOOKS


def test_what_is_wrong_changes_nothing(start: Callable[..., Running], seen: Witness) -> None:
    """Invalid commands change nothing, and the daemon still answers."""
    running = start()
    before = state(seen, lambda s: s["occupied"])
    for payload in (b"", b"ON", b'{"fps":0}', b"\xff", b'{"paused":true,"x":1}', b"x" * 20_000):
        seen.publish(f"{DEVICE}/hall/set", payload)
    answer = ask(seen, "ping", {"id": "still there"})

    assert (answer["id"], answer["ok"]) == ("still there", True)
    states = [m for m in seen.noted() if m.topic == f"{DEVICE}/hall/state"]
    assert not any(json.loads(m.payload)["paused"] for m in states)
    assert json.loads(states[-1].payload)["settings"] == before["settings"]
    assert running.said().count("refused") == 2  # one per kind: invalid JSON, too large


def test_requests_are_answered(start: Callable[..., Running], seen: Witness) -> None:
    """`info` has the status, `snapshot` sends a picture, errors name what is wrong."""
    start()
    state(seen, lambda s: s["occupied"])

    info = ask(seen, "info", {"id": 1})
    shot = ask(seen, "snapshot", {"id": 2, "camera": "hall"})
    jpeg = seen.seen if shot["ok"] else []
    nowhere = ask(seen, "snapshot", {"id": 3, "camera": "attic"})
    unknown = ask(seen, "dance", {"id": 4})
    reload = ask(seen, "reload", {})

    assert info["data"]["model"] == "movenet-lightning"
    assert shot == {"id": 2, "ok": True, "data": {"topics": {"hall": f"{DEVICE}/hall/snapshot"}}}
    assert jpeg
    assert not nowhere["ok"]
    assert "attic" in nowhere["error"]
    assert (
        "clip, doctor, info, log_level, ping, reload, reset_lines, restart, snapshot"
        in unknown["error"]
    )
    assert reload["ok"]


def test_a_doctor_examines_the_running_daemon(start: Callable[..., Running], seen: Witness) -> None:
    """All checks of the command run while frames are processed; a changed file is reported."""
    running = start(CAMERA + ZONE)
    state(seen, lambda s: s["occupied"])

    well = ask(seen, "doctor", {"id": 1})
    running.write(CAMERA + "rotatte = 90\n")
    ill = ask(seen, "doctor", {"id": 2})
    seen.on(f"{DEVICE}/hall/poses")

    found = {each["check"]: each for each in well["data"]["findings"]}
    said = {each["check"]: each for each in ill["data"]["findings"]}
    assert (well["id"], well["ok"], well["data"]["ok"]) == (1, True, True)
    assert found.keys() == {
        "configuration", "runtime", "permissions", "state", "model", "delegate", "camera hall",
        "broker", "clock", "heat", "metrics", "page", "power",
    }  # fmt: skip
    assert "movenet-lightning" in found["model"]["found"]
    assert "with MQTT 5" in found["broker"]["found"]
    assert (ill["ok"], ill["data"]["ok"]) == (True, False)
    assert "rotatte" in said["configuration"]["found"]
    assert said["configuration"]["mend"]


def test_a_reload_of_a_bad_file_is_answered_with_the_reason(
    start: Callable[..., Running], seen: Witness
) -> None:
    """The response names the wrong key, and nothing changes."""
    running = start()
    state(seen, lambda s: s["occupied"])
    running.write(CAMERA + "rotatte = 90\n")

    answer = ask(seen, "reload", {"id": 1})

    assert answer["ok"] is False
    assert "rotatte" in answer["error"]


def test_mqtt_5_answers_where_the_asker_wants_it(
    start: Callable[..., Running], seen: Witness, broker: Mosquitto
) -> None:
    """The response goes to the MQTT 5 response topic with the same correlation data."""
    start()
    state(seen, lambda s: s["occupied"])
    properties = Properties(PacketTypes.PUBLISH)
    properties.ResponseTopic, properties.CorrelationData = "robot/in", b"\x00\x01\xff"
    client: Client = seen._client
    client.publish(f"{DEVICE}/request/ping", b"{}", 1, False, properties).wait_for_publish(10)

    answer = seen.on("robot/in")

    assert answer.properties.CorrelationData == b"\x00\x01\xff"
    assert json.loads(answer.payload)["ok"] is True


@pytest.mark.parametrize("shown", ["skeleton", "camera"])
def test_a_picture_shows_the_room_only_where_the_owner_wants_it(
    shown: str, start: Callable[..., Running], seen: Witness
) -> None:
    """The picture of an event shows skeletons on black, or on the camera's picture."""
    start(f'{CAMERA}snapshot = "{shown}"\n{ON_GESTURE}')
    message = seen.on(f"{DEVICE}/hall/snapshot", timeout_s=60)

    found = picture(message.payload)

    black = float((found.max(axis=2) < 24).mean())
    assert found.max() > 100
    assert (black > 0.9) is (shown == "skeleton")
    assert message.properties.ContentType == "image/jpeg"
    assert not message.retain


def test_under_the_example_access_list_everything_works(
    tmp_path: Path, start: Callable[..., Running]
) -> None:
    """With the example access list the daemon and Home Assistant are refused nothing."""
    users = {"test-pi": "its-own-secret", "homeassistant": "another"}
    acl = (DEPLOY / "mosquitto" / "edgepose.acl").read_text()
    with (
        with_passwords(tmp_path, users, acl) as guarded,
        witness(guarded.port, username="homeassistant", password="another") as house,
    ):
        url = guarded.url.replace("//", "//test-pi:its-own-secret@")
        running = start(CAMERA + ZONE, url=f'{url}"\nencoding = "msgpack')
        house.on(DISCOVERY, timeout_s=60)
        state(house, lambda s: s["occupied"])
        house.on(f"{DEVICE}/hall/poses/msgpack")
        house.publish(f"{DEVICE}/hall/set", b'{"fps":5}')
        changed = state(house, lambda s: s["settings"]["fps"] == 5)
        found = ask(house, "doctor", {})["data"]["findings"]
        house.publish("homeassistant/status", b"online")
        house.on(DISCOVERY)
        said = running.said() + "".join(str(message.payload) for message in house.noted())

    broker = next(finding for finding in found if finding["check"] == "broker")
    assert changed["settings"]["fps"] == 5
    assert broker["verdict"] == "ok"
    assert "refuses" not in said
    assert "its-own-secret" not in said


def test_home_assistant_is_told_and_told_again(
    start: Callable[..., Running], seen: Witness
) -> None:
    """Discovery is retained at the start, and repeated with all states after a birth message."""
    start()
    first = seen.on(DISCOVERY, timeout_s=30)
    state(seen, lambda s: s["occupied"])
    seen.publish("homeassistant/status", b"online")

    again = seen.on(DISCOVERY)
    repeated = state(seen, lambda s: s["occupied"])

    assert complaints(first.topic, first.payload) == []
    assert again.payload == first.payload
    assert repeated["device"] == "test-pi"


def test_it_restarts_on_request(start: Callable[..., Running], seen: Witness) -> None:
    """A restart keeps process, settings and the requested log level."""
    running = start()
    topic = f"{DEVICE}/status"
    first = json.loads(seen.on(topic, timeout_s=60).payload)
    ask(seen, "log_level", {"level": "warning"})
    ask(seen, "restart", {})

    seen.on(f"{DEVICE}/availability", b"offline")
    seen.on(f"{DEVICE}/availability", b"online", timeout_s=30)
    again = json.loads(
        seen.until(
            lambda m: (
                m.topic == topic and json.loads(m.payload)["started_at"] > first["started_at"]
            ),
            timeout_s=60,
        ).payload
    )
    state(seen, lambda s: s["occupied"])

    assert first["log_level"] == "info"
    assert again["log_level"] == "warning"
    assert running.process.poll() is None
    assert "Traceback" not in running.said()


def test_the_live_picture_shows_nobody_during_a_pause(
    start: Callable[..., Running], seen: Witness, broker: Mosquitto
) -> None:
    """The retained live picture is replaced by an empty one during a pause."""
    topic = f"{DEVICE}/hall/live"
    start()
    empty = seen.on(topic, timeout_s=60).payload
    peopled = seen.until(lambda m: m.topic == topic and m.payload != empty, timeout_s=30).payload
    seen.publish(f"{DEVICE}/hall/set", b'{"paused":true}')
    state(seen, lambda s: s["paused"])
    with witness(broker.port) as late:
        kept = late.on(topic)

    assert kept.retain
    assert peopled[:3] == kept.payload[:3] == b"\xff\xd8\xff"
    assert _brightness(kept.payload) < _brightness(peopled)


def _brightness(jpeg: bytes) -> float:
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_GRAYSCALE)
    return float(np.mean(picture))
