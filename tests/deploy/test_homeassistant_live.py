"""A real Home Assistant: the devices, and the migration of version 0.1's entities.

It must be running: `EDGEPOSE_HOMEASSISTANT` is its address, `EDGEPOSE_HOMEASSISTANT_TOKEN` a
long-lived access token, and `EDGEPOSE_HOMEASSISTANT_BROKER` its broker. Restart it before each run:
it remembers the entities of earlier runs. The test of the history needs its integration `history`.
"""

import http.server
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

import msgspec
import pytest

from edgepose.config.loading import loads
from edgepose.mqtt.discovery import discovered_devices
from edgepose.mqtt.messages import StateMessage
from edgepose.mqtt.topics import Topics
from edgepose.urls import broker as broker_of
from tests.support.brokers import wait_until, witness

HOME: Final = os.environ.get("EDGEPOSE_HOMEASSISTANT", "")
TOKEN: Final = os.environ.get("EDGEPOSE_HOMEASSISTANT_TOKEN", "")
BROKER: Final = os.environ.get("EDGEPOSE_HOMEASSISTANT_BROKER", "mqtt://127.0.0.1:1883")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not HOME, reason="no Home Assistant: EDGEPOSE_HOMEASSISTANT names none"),
]

BLUEPRINTS: Final = Path(__file__).parents[2] / "deploy" / "homeassistant" / "blueprints"
DEVICE: Final = "livetest"
TWO: Final = f"""
[device]
id = "{DEVICE}"
name = "Live Test"
[mqtt]
url = "{BROKER}"
[model]
name = "movenet-lightning"
[metrics]
listen = ""
[web]
listen = ""
[[camera]]
id = "hall"
source = "demo://"
  [[camera.zone]]
  id = "rug"
  polygon = [[0, 0], [1, 0], [1, 1], [0, 1]]
[[camera]]
id = "yard"
name = "Hof"
source = "demo://"
"""
ONE: Final = TWO.partition('[[camera]]\nid = "yard"')[0]
SEEN_S: Final = 60.0
SETTLE_S: Final = 2.0  # until it has logged what it finds of devices that were removed


class HomeAssistant:
    """The parts of its API that the tests use."""

    def __init__(self) -> None:
        sync = pytest.importorskip("websockets.sync.client", reason="websockets is not installed")
        self._numbers = count(1)
        self._socket = sync.connect(HOME.replace("http", "ws", 1) + "/api/websocket", max_size=None)
        self._socket.recv()
        self._socket.send(json.dumps({"type": "auth", "access_token": TOKEN}))
        assert json.loads(self._socket.recv())["type"] == "auth_ok"
        self._since_s = time.time()

    def ask(self, type_: str, **fields: Any) -> Any:
        """Send a command over the WebSocket and return its result."""
        number = next(self._numbers)
        self._socket.send(json.dumps({"id": number, "type": type_, **fields}))
        while (answer := json.loads(self._socket.recv(timeout=30))).get("id") != number:
            pass
        assert answer["success"], answer
        return answer["result"]

    def get(self, path: str) -> bytes:
        """Return the answer of a path of its HTTP API."""
        headers = {"Authorization": f"Bearer {TOKEN}"}
        request = urllib.request.Request(HOME + path, headers=headers)
        with urllib.request.urlopen(request, timeout=20) as answer:
            content: bytes = answer.read()
        return content

    def entities(self) -> dict[str, dict[str, Any]]:
        """Return the registry's entries of this device by unique id."""
        listed = self.ask("config/entity_registry/list")
        prefix = f"edgepose.{DEVICE}."
        return {it["unique_id"]: it for it in listed if it["unique_id"].startswith(prefix)}

    def devices(self) -> dict[str, dict[str, Any]]:
        """Return the registry's devices of this daemon by identifier."""
        listed = self.ask("config/device_registry/list")
        return {
            name: it
            for it in listed
            for _, name in it["identifiers"]
            if name == f"edgepose.{DEVICE}" or name.startswith(f"edgepose.{DEVICE}.")
        }

    def state(self, key: str) -> str:
        """Return the state of the entity whose unique id ends with `key`."""
        entity = self.entities()[f"edgepose.{DEVICE}.{key}"]["entity_id"]
        found: str = json.loads(self.get(f"/api/states/{entity}"))["state"]
        return found

    def call(self, domain: str, service: str, key: str, **data: Any) -> None:
        """Call a service of an entity."""
        entity = self.entities()[f"edgepose.{DEVICE}.{key}"]["entity_id"]
        self.ask(
            "call_service",
            domain=domain,
            service=service,
            service_data=data,
            target={"entity_id": entity},
        )

    def automations(self) -> set[str]:
        """Return the ids of the automations that are ready."""
        states = json.loads(self.get("/api/states"))
        return {it["attributes"].get("id") for it in states if it["state"] == "on"}

    def history(self, entity: str) -> list[tuple[str, str]]:
        """Return state and time of all recorded changes of an entity since the test began."""
        start = quote(datetime.fromtimestamp(self._since_s, UTC).isoformat())
        path = f"/api/history/period/{start}?filter_entity_id={entity}&no_attributes"
        recorded = json.loads(self.get(path))
        return [(it["state"], it["last_changed"]) for each in recorded for it in each]

    def complaints(self) -> list[str]:
        """Return its warnings and errors about MQTT and templates since the test began."""
        about = re.compile(r"mqtt|template|device_registry")
        return [
            " ".join(it["message"])
            for it in self.ask("system_log/list")
            if it["timestamp"] > self._since_s and about.search(it["name"])
        ]


@pytest.fixture
def home() -> Iterator[HomeAssistant]:
    asked = HomeAssistant()
    place = broker_of(BROKER)
    with witness(place.port) as clearing:
        yield asked
        for topic in sorted({m.topic for m in clearing.noted() if f"/{DEVICE}/" in m.topic}):
            clearing.publish(topic, b"", retain=True)
        assert wait_until(lambda: not asked.devices(), 20)
        time.sleep(SETTLE_S)


@contextmanager
def daemon(folder: Path, text: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a daemon with its configuration and state in the folder."""
    (folder / "edgepose.toml").write_text(text)
    (folder / "state").mkdir(exist_ok=True)
    command = [sys.executable, "-m", "edgepose", "run", "-c", str(folder / "edgepose.toml")]
    environment = {**os.environ, "STATE_DIRECTORY": str(folder / "state")}
    process = subprocess.Popen(command, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(15)


def publish_former(folder: Path) -> None:
    """Publish and record one message with all entities, as version 0.1 did."""
    config = loads(TWO, "test")
    devices = discovered_devices(config, Topics("edgepose", DEVICE))
    topic, own = next(iter(devices.items()))
    entities = {
        key: it
        for each in devices.values()
        for key, it in each.components.items()
        if it["platform"] not in {"camera", "select"} and key not in {"restart", "version"}
    }
    (folder / "state").mkdir()
    (folder / "state" / "announced.json").write_text(
        json.dumps({"topic": topic, "device": own.about, "components": entities, "going": {}})
    )
    with witness(broker_of(BROKER).port) as sender:
        content = json.dumps({**own.about, "components": entities}).encode()
        sender.publish(topic, content, retain=True)


def test_each_camera_is_a_device_of_its_own(home: HomeAssistant, tmp_path: Path) -> None:
    """Cameras are linked to the daemon's device; a removed one disappears; nothing is logged."""
    with daemon(tmp_path, TWO) as process:
        assert wait_until(lambda: len(home.devices()) == 3, SEEN_S)
        found = home.devices()
        own = found[f"edgepose.{DEVICE}"]
        assert wait_until(lambda: home.state("hall.occupancy") == "on", SEEN_S)

        assert found[f"edgepose.{DEVICE}.yard"]["name"] == "Hof"
        assert found[f"edgepose.{DEVICE}.yard"]["via_device_id"] == own["id"]
        picture = home.entities()[f"edgepose.{DEVICE}.hall.live"]["entity_id"]
        assert home.state("hall.live") == "idle"
        assert home.get(f"/api/camera_proxy/{picture}")[:3] == b"\xff\xd8\xff"

        (tmp_path / "edgepose.toml").write_text(ONE)
        process.send_signal(signal.SIGHUP)
        assert wait_until(lambda: f"edgepose.{DEVICE}.yard" not in home.devices(), SEEN_S)
        assert home.complaints() == []


def test_the_daemons_buttons_work(home: HomeAssistant, tmp_path: Path) -> None:
    """A restart keeps the process and the selected log level."""
    with daemon(tmp_path, ONE) as process, witness(broker_of(BROKER).port) as seen:
        status = f"edgepose/{DEVICE}/status"
        first = json.loads(seen.on(status, timeout_s=SEEN_S).payload)
        assert wait_until(lambda: home.entities().keys() >= {f"edgepose.{DEVICE}.restart"}, SEEN_S)
        assert wait_until(lambda: home.state("log_level") == "info", SEEN_S)

        home.call("select", "select_option", "log_level", option="warning")
        assert wait_until(lambda: home.state("log_level") == "warning", SEEN_S)
        home.call("button", "press", "restart")
        seen.until(
            lambda m: (
                m.topic == status and json.loads(m.payload)["started_at"] > first["started_at"]
            ),
            SEEN_S,
        )

        assert process.poll() is None
        assert wait_until(lambda: home.state("connection") == "on", SEEN_S)
        assert home.state("log_level") == "warning"
        assert home.state("version") == first["version"]


def test_entities_of_version_0_1_keep_their_ids_and_names(
    home: HomeAssistant, tmp_path: Path
) -> None:
    """They move to the cameras' devices; changes by the user are kept."""
    publish_former(tmp_path)
    unique = f"edgepose.{DEVICE}.hall.occupancy"
    assert wait_until(lambda: unique in home.entities(), SEEN_S)
    home.ask(
        "config/entity_registry/update",
        entity_id=home.entities()[unique]["entity_id"],
        name="Somebody",
        new_entity_id="binary_sensor.livetest_somebody",
    )
    before = home.entities()

    with daemon(tmp_path, TWO):
        assert wait_until(lambda: len(home.devices()) == 3, SEEN_S)
        assert wait_until(lambda: home.state("hall.occupancy") == "on", SEEN_S)
        after, devices = home.entities(), home.devices()

        assert after[unique]["name"] == "Somebody"
        assert {key: it["entity_id"] for key, it in before.items()} == {
            key: after[key]["entity_id"] for key in before
        }
        hall = devices[f"edgepose.{DEVICE}.hall"]["id"]
        assert {it["device_id"] for key, it in after.items() if ".hall." in key} == {hall}
        assert home.complaints() == []


def test_a_moved_entity_keeps_its_history(home: HomeAssistant, tmp_path: Path) -> None:
    """The recorder returns the same states after the migration, and appends new ones to them."""
    if "history" not in json.loads(home.get("/api/config"))["components"]:
        pytest.skip("this Home Assistant records no history")
    publish_former(tmp_path)
    key = "hall.occupancy"
    unique = f"edgepose.{DEVICE}.{key}"
    assert wait_until(lambda: unique in home.entities(), SEEN_S)
    entity = home.entities()[unique]["entity_id"]
    with witness(broker_of(BROKER).port) as former:
        for prefix in (f"edgepose/{DEVICE}", f"edgepose/{DEVICE}/hall"):
            former.publish(f"{prefix}/availability", b"online", retain=True)
        for occupied, state in ((True, "on"), (False, "off"), (True, "on"), (False, "off")):
            message = StateMessage(device=DEVICE, camera="hall", occupied=occupied)
            payload = msgspec.json.encode(message)
            former.publish(f"edgepose/{DEVICE}/hall/state", payload, retain=True)
            assert wait_until(lambda state=state: home.state(key) == state)
    assert wait_until(lambda: [it for it, _ in home.history(entity)][-4:] == ["on", "off"] * 2, 20)
    before, place = home.history(entity), home.entities()[unique]["device_id"]

    with daemon(tmp_path, TWO):
        assert wait_until(lambda: len(home.devices()) == 3, SEEN_S)
        assert wait_until(lambda: home.state(key) == "on", SEEN_S)
        assert wait_until(lambda: home.history(entity)[-1][0] == "on", 20)
        moved, after = home.entities()[unique], home.history(entity)

    assert moved["entity_id"] == entity
    assert moved["device_id"] == home.devices()[f"edgepose.{DEVICE}.hall"]["id"] != place
    assert after[: len(before)] == before
    assert len(after) > len(before)


@pytest.fixture
def served() -> Iterator[str]:
    """Serve the blueprints over HTTP; yield the address of their folder."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args, directory=str(BLUEPRINTS))

        def log_message(self, *_: Any) -> None:
            """Print nothing."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", [file.stem for file in sorted(BLUEPRINTS.glob("*.yaml"))])
def test_a_blueprint_is_imported_by_its_address(
    home: HomeAssistant, served: str, name: str
) -> None:
    """Home Assistant imports each blueprint without errors, with its source URL."""
    found = home.ask("blueprint/import", url=f"{served}/{name}.yaml")

    assert found["validation_errors"] is None
    assert found["blueprint"]["metadata"]["source_url"] == f"{served}/{name}.yaml"
    assert found["blueprint"]["metadata"]["domain"] == "automation"


@contextmanager
def automated(
    home: HomeAssistant, served: str, blueprint: str, name: str, inputs: dict[str, Any]
) -> Iterator[None]:
    """Import a blueprint and run an automation made from it."""
    address = f"{served}/{blueprint}.yaml"
    found = home.ask("blueprint/import", url=address)
    path = found["suggested_filename"]
    home.ask(
        "blueprint/save",
        domain="automation",
        path=path,
        yaml=found["raw_data"],
        source_url=address,
        allow_override=True,
    )
    used = {"path": f"{path}.yaml", "input": inputs}
    post(f"/api/config/automation/config/{name}", {"alias": name, "use_blueprint": used})
    try:
        assert wait_until(lambda: name in home.automations(), SEEN_S)
        yield
    finally:
        post(f"/api/config/automation/config/{name}", None)


def test_the_alert_of_the_blueprint_comes(home: HomeAssistant, served: str, tmp_path: Path) -> None:
    """It comes at a fall, again while the person is down, and at a long lie, with the picture."""
    with daemon(tmp_path, ONE), witness(broker_of(BROKER).port) as outside:
        key = f"edgepose.{DEVICE}.hall"
        assert wait_until(lambda: f"{key}.fall" in home.entities(), SEEN_S)
        entities = home.entities()
        sending = {
            "action": "mqtt.publish",
            "data": {
                "topic": f"edgepose/{DEVICE}/alert",
                "payload": "{{ message }} {{ picture }}",
            },
        }
        inputs = {
            "fall": [entities[f"{key}.{it}"]["entity_id"] for it in ("fall", "long_lie")],
            "still_down_after": {"seconds": 1},
            "skeleton": entities[f"{key}.clip"]["entity_id"],
            "alert": [sending],
        }
        topic = f"edgepose/{DEVICE}/hall/state"
        with automated(home, served, "fall_alert", DEVICE, inputs):
            # A paused camera publishes nothing more that could end the fall.
            outside.publish(f"edgepose/{DEVICE}/hall/set", b'{"paused": true}')
            state = json.loads(
                outside.until(
                    lambda m: m.topic == topic and json.loads(m.payload)["paused"], SEEN_S
                ).payload
            )
            assert wait_until(lambda: home.state("hall.fall") == "off", SEEN_S)
            alerts = []
            for change in ({"fall": True}, None, {"fall": False, "long_lie": True}):
                if change:
                    outside.publish(topic, json.dumps(state | change).encode())
                alerts.append(outside.on(f"edgepose/{DEVICE}/alert", timeout_s=30).payload.decode())

    picture = f"/api/image_proxy/{entities[f'{key}.clip']['entity_id']}"
    assert alerts == [
        f"Hall: {what} {picture}"
        for what in (
            "a person has fallen",
            "a person is still down",
            "a person has been lying for a long time",
        )
    ]


def test_the_light_of_the_blueprint_follows_the_zone(
    home: HomeAssistant, served: str, tmp_path: Path
) -> None:
    """It turns on when a person enters, off when the zone is empty; by day only if so chosen."""
    commands = f"lamps/{DEVICE}/set"
    paused = f"edgepose/{DEVICE}/hall/set"
    with daemon(tmp_path, ONE), witness(broker_of(BROKER).port) as outside:
        lamp = {
            "name": "Live test lamp",
            "unique_id": f"edgepose.{DEVICE}.lamp",
            "command_topic": commands,
        }
        outside.publish(
            f"homeassistant/light/{DEVICE}/config", json.dumps(lamp).encode(), retain=True
        )
        wanted = {f"edgepose.{DEVICE}.{key}" for key in ("lamp", "hall.zone.rug.occupancy")}
        assert wait_until(lambda: home.entities().keys() >= wanted, SEEN_S)
        outside.publish(paused, b'{"paused": true}')
        assert wait_until(lambda: home.state("hall.zone.rug.occupancy") == "off", SEEN_S)
        entities = home.entities()
        inputs = {
            "zone": entities[f"edgepose.{DEVICE}.hall.zone.rug.occupancy"]["entity_id"],
            "light": {"entity_id": entities[f"edgepose.{DEVICE}.lamp"]["entity_id"]},
            "off_after": {"seconds": 1},
        }
        with automated(home, served, "light_by_zone", DEVICE, inputs):
            outside.publish(paused, b'{"paused": false}')
            outside.on(commands, b"ON", SEEN_S)
            assert home.state("hall.zone.rug.occupancy") == "on"
            assert wait_until(lambda: home.state("lamp") == "on")

            outside.publish(paused, b'{"paused": true}')
            outside.on(commands, b"OFF", SEEN_S)
            assert home.state("hall.zone.rug.occupancy") == "off"

        with automated(home, served, "light_by_zone", DEVICE, {**inputs, "only_in_the_dark": True}):
            post("/api/states/sun.sun", {"state": "above_horizon"})
            outside.publish(paused, b'{"paused": false}')
            assert wait_until(lambda: home.state("hall.zone.rug.occupancy") == "on", SEEN_S)
            outside.publish(paused, b'{"paused": true}')
            # It turns off by day, too: so the automation has run, and has not turned on.
            assert outside.until(lambda m: m.topic == commands, SEEN_S).payload == b"OFF"

            post("/api/states/sun.sun", {"state": "below_horizon"})
            outside.publish(paused, b'{"paused": false}')
            outside.on(commands, b"ON", SEEN_S)
        assert home.complaints() == []


def post(path: str, content: Any) -> None:
    """Post content to a path of the HTTP API, or delete it for None."""
    request = urllib.request.Request(
        HOME + path,
        None if content is None else json.dumps(content).encode(),
        {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json"},
        method="DELETE" if content is None else "POST",
    )
    with urllib.request.urlopen(request, timeout=20):
        pass
