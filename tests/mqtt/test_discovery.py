"""Discovery: Home Assistant accepts every message, and removed entities disappear."""

import json
import random
import socket
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Config
from edgepose.mqtt.announcer import MIGRATE, DiscoveryPublisher, DiscoveryState
from edgepose.mqtt.discovery import DiscoveredDevice, describe_loss, discovered_devices
from edgepose.mqtt.topics import Topics
from edgepose.system.storage import StateFile
from edgepose.types import Message, Received
from tests.support.brokers import wait_until
from tests.support.discovery import complaints

TWO = """
[device]
id = "hall-pi"
name = "Hall Pi"
[[camera]]
id = "hall"
source = "demo://"
  [[camera.zone]]
  id = "sofa"
  polygon = [[0.1, 0.5], [0.6, 0.5], [0.6, 1.0]]
  dwell_s = 60
  [[camera.line]]
  id = "front_door"
  points = [[0.1, 0.5], [0.6, 0.5]]
  sides = ["street", "hall"]
[[camera]]
id = "back_yard"
source = "demo://"
"""
ONE = TWO.partition("  [[camera.zone]]")[0]
OFF = ONE + "\n[homeassistant]\ndiscovery = false\n"
STATUS = "homeassistant/status"


def config(text: str = TWO) -> Config:
    return loads(text, "test")


def topics(of: Config) -> Topics:
    return Topics(of.mqtt.base_topic, of.device.id)


def devices(of: Config) -> dict[str, DiscoveredDevice]:
    return discovered_devices(of, topics(of))


def entities(of: Config) -> dict[str, Any]:
    """Return the entities of all devices by key."""
    return {key: it for each in devices(of).values() for key, it in each.components.items()}


def messages(of: Config) -> list[tuple[str, bytes]]:
    return [(topic, device.payload()) for topic, device in devices(of).items()]


def many() -> list[Config]:
    """Return many configurations with cameras, zones and events in all combinations."""
    chance, found = random.Random(2), []
    ids = ["a", "a_b", "b-c", "0", "living_room", "x" * 64]
    for cameras, zones, fall, gestures in product((0, 1, 3), (0, 2), (True, False), (True, False)):
        lines = [f'[device]\nid = "{chance.choice(ids)}"\nname = "Zoë \\"x\\" {{{{ 1 }}}}"']
        lines += [f"[events]\nfall = {str(fall).lower()}"]
        lines += [] if gestures else ["gestures = []"]
        for camera in chance.sample(ids, cameras):
            lines.append(f'[[camera]]\nid = "{camera}"\nsource = "demo://"')
            for zone in chance.sample(ids, zones):
                lines.append(f'[[camera.zone]]\nid = "{zone}"\npolygon = [[0,0],[1,0],[1,1]]')
        found.append(config("\n".join(lines)))
    return found


class TestPayload:
    @pytest.mark.parametrize("of", [config(), config(ONE), *many()])
    def test_home_assistant_accepts_it(self, of: Config) -> None:
        """Every message is valid for every configuration."""
        assert [complaint for each in messages(of) for complaint in complaints(*each)] == []

    @pytest.mark.parametrize(
        ("web", "link"),
        [
            ("", None),
            ('listen = ""', None),
            ('listen = "192.0.2.7:8600"', "http://192.0.2.7:8600"),
            ('listen = "[2001:db8::7]:8600"', "http://[2001:db8::7]:8600"),
            ('listen = "0.0.0.0:80"\nhosts = ["pose.example"]', "http://pose.example:80"),
            ('listen = "0.0.0.0:8600"\ncert_file = "c"\nhosts = ["p"]', "https://p:8600"),
            ('hosts = ["pose.example"]', "https://pose.example"),
            ('url = "https://home.example/pose/"', "https://home.example/pose/"),
            ('url = "homeassistant://hassio/ingress/x_y"', "homeassistant://hassio/ingress/x_y"),
            ('listen = ""\nurl = "https://home.example"', None),
        ],
    )
    def test_it_links_to_the_page(self, web: str, link: str | None) -> None:
        """It links to the page's public URL, or to none if only this machine can reach the page."""
        of = config(f"[web]\n{web}\n{ONE}")

        for topic, content in messages(of):
            assert json.loads(content)["device"].get("configuration_url") == link
            assert complaints(topic, content) == []

    def test_a_page_everywhere_has_the_machines_name(self) -> None:
        """The link of a page on all addresses uses the host name with `.local`."""
        _, content = messages(config(f'[web]\nlisten = "0.0.0.0:8600"\n{ONE}'))[0]

        link = json.loads(content)["device"]["configuration_url"]
        assert link == f"http://{socket.gethostname().partition('.')[0]}.local:8600"

    def test_it_has_the_entities_of_the_contract(self) -> None:
        """Entities exist per camera, per zone and for the device; none contains keypoints."""
        found = {key: entity["platform"] for key, entity in entities(config()).items()}

        per_camera = {
            "occupancy": "binary_sensor",
            "people": "sensor",
            "posture": "sensor",
            "posture_detail": "sensor",
            "fall": "binary_sensor",
            "long_lie": "binary_sensor",
            "moving": "binary_sensor",
            "still": "binary_sensor",
            "gesture": "event",
            "fall_event": "event",
            "fall_watch": "switch",
            "processing": "switch",
            "min_pose_score": "number",
            "snapshot": "button",
            "picture": "image",
            "clip": "image",
            "make_clip": "button",
            "live": "camera",
            "fps": "sensor",
            "latency": "sensor",
        }
        zone = {
            "hall.zone.sofa.occupancy": "binary_sensor",
            "hall.zone.sofa.people": "sensor",
            "hall.zone.sofa.longest_stay": "sensor",
            "hall.zone.sofa.stay_event": "event",
        }
        line = {
            "hall.line.front_door.street": "sensor",
            "hall.line.front_door.hall": "sensor",
            "hall.reset_lines": "button",
        }
        device = {
            "temperature": "sensor",
            "delegate": "sensor",
            "connection": "binary_sensor",
            "reload": "button",
            "restart": "button",
            "log_level": "select",
            "version": "sensor",
        }
        cameras = {
            f"{camera}.{key}": platform
            for camera in ("hall", "back_yard")
            for key, platform in per_camera.items()
        }
        assert found == cameras | zone | line | device
        assert not any(b"/poses" in content for _, content in messages(config()))

    def test_each_camera_is_a_device_of_its_own(self) -> None:
        """Each camera is linked to the daemon's device, which is announced first."""
        found = devices(config())

        assert list(found) == [
            "homeassistant/device/hall-pi/config",
            "homeassistant/device/hall-pi/hall/config",
            "homeassistant/device/hall-pi/back_yard/config",
        ]
        about = [device.about["device"] for device in found.values()]
        assert [each["name"] for each in about] == ["Hall Pi", "Hall", "Back yard"]
        assert [each.get("via_device") for each in about] == [
            None,
            "edgepose.hall-pi",
            "edgepose.hall-pi",
        ]
        assert about[1]["identifiers"] == ["edgepose.hall-pi.hall"]

    def test_ids_of_entities_are_those_of_version_0_1(self) -> None:
        """The unique ids of version 0.1 are kept, as they identify the history."""
        found = entities(config())

        assert found["hall.occupancy"]["unique_id"] == "edgepose.hall-pi.hall.occupancy"
        assert found["connection"]["unique_id"] == "edgepose.hall-pi.connection"

    def test_a_camera_without_live_picture_has_no_entity_for_it(self) -> None:
        """With `live = "off"` there is no camera entity."""
        of = config(ONE.replace('source = "demo://"', 'source = "demo://"\nlive = "off"'))

        assert "hall.live" not in entities(of)

    def test_only_events_are_always_available(self) -> None:
        """All others depend on device and camera; events would fire again at each return."""
        for key, entity in entities(config()).items():
            if key == "connection":  # represents the device's availability itself
                continue
            camera, dot, _ = key.partition(".")
            places = ["edgepose/hall-pi/availability"]
            places += [f"edgepose/hall-pi/{camera}/availability"] if dot else []
            found = [each["topic"] for each in entity.get("availability", [])]
            assert found == ([] if entity["platform"] == "event" else places), key

    def test_diagnostics_are_off_by_default(self) -> None:
        """Diagnostic entities are disabled by default, except for connection and version."""
        for key, entity in entities(config()).items():
            shown = key in {"connection", "version"}
            diagnostic = entity.get("entity_category") == "diagnostic" and not shown
            assert entity.get("enabled_by_default", True) is not diagnostic

    def test_names_are_what_people_would_say(self) -> None:
        """Names do not contain the camera: Home Assistant prefixes them with the device's name."""
        found = entities(config())

        assert found["back_yard.occupancy"]["name"] == "Occupancy"
        assert found["hall.zone.sofa.occupancy"]["name"] == "Sofa occupancy"
        assert found["hall.line.front_door.hall"]["name"] == "Front door to hall"

    def test_given_names_are_used_as_they_are(self) -> None:
        """Names may contain any letters; ids of topics and entities do not change."""
        text = TWO.replace('id = "hall"', 'id = "hall"\nname = "Flur «unten»"').replace(
            'id = "sofa"', 'id = "sofa"\n  name = "Große Küche"'
        )
        of = config(text)

        found = entities(of)
        hall = devices(of)["homeassistant/device/hall-pi/hall/config"]

        assert hall.about["device"]["name"] == "Flur «unten»"
        assert found["hall.zone.sofa.people"]["name"] == "Große Küche people"
        assert found.keys() == entities(config()).keys()

    def test_an_entity_keeps_its_id_whatever_else_is_configured(self) -> None:
        """The unique id does not depend on the rest of the configuration."""
        few = entities(config(ONE))
        more = entities(config())

        assert {more[key]["unique_id"] for key in few} == {e["unique_id"] for e in few.values()}

    def test_what_is_not_watched_has_no_entity(self) -> None:
        """Disabled detections have no entity."""
        of = config(ONE + "\n[events]\nfall = false\nlong_lie_s = 0\nstill_s = 0\ngestures = []\n")
        keys = entities(of).keys()

        assert (
            not {"hall.fall", "hall.fall_event", "hall.long_lie", "hall.still", "hall.gesture"}
            & keys
        )
        assert "hall.occupancy" in keys

    @pytest.mark.parametrize(
        ("spoil", "what"),
        [
            (lambda m: m.update(version=1), "unknown key version"),
            (lambda m: m["components"]["a"].pop("unique_id"), "missing unique_id"),
            (lambda m: m["components"]["a"].update(stat_top="x"), "unknown key stat_top"),
            (lambda m: m["components"]["a"].update(device_class="person"), "device_class"),
            (lambda m: m["components"]["a"].update(icon="home"), "icon"),
            (lambda m: m["components"]["a"].update(entity_category="config"), "entity_category"),
            (lambda m: m["components"]["a"].update(value_template="{{ a }"), "parse"),
            (lambda m: m["device"].pop("identifiers"), "no identifiers"),
            (lambda m: m["origin"].pop("name"), "origin"),
        ],
    )
    def test_the_rules_see_mistakes(self, spoil: Any, what: str) -> None:
        """The checker of the discovery rules finds each of these mistakes."""
        where, content = messages(config())[1]
        found = json.loads(content)
        found["components"] = {"a": found["components"]["hall.occupancy"]}
        spoil(found)

        assert any(what in each for each in complaints(where, json.dumps(found).encode()))


class House:
    """A DiscoveryPublisher with its messages, and the number of repeated state messages."""

    def __init__(self, path: Path | None, *, lasting: bool = True) -> None:
        self.said: list[Message] = []
        self.repeated = 0
        self.announcer = DiscoveryPublisher(
            self.said.append,
            self._repeat,
            StateFile(path, DiscoveryState | None),
            lasting=lasting,
            delay_s=(0, 0),
            forget_s=0,
        )

    def _repeat(self) -> None:
        self.repeated += 1

    def start(self, of: Config) -> None:
        self.announcer.configure(of, topics(of))
        self.announcer.connected()

    def born(self) -> None:
        self.announcer.on_birth(Received(STATUS, b"online", retained=False))

    def shown(self) -> dict[str, bool]:
        """Return the latest components; False for those with only a platform."""
        latest = {message.topic: message.payload for message in self.said if message.payload}
        gone = {message.topic for message in self.said if not message.payload}
        found = [json.loads(it)["components"] for at, it in latest.items() if at not in gone]
        return {
            key: entity.keys() != {"platform"} for each in found for key, entity in each.items()
        }

    def gone(self) -> bool:
        """Return whether something was removed."""
        return any(
            b'{"platform":"sensor"}' in each.payload or not each.payload for each in self.said
        )


def former(of: Config) -> dict[str, Any]:
    """Return the stored state of version 0.1, which published one message."""
    topic, own = next(iter(devices(of).items()))
    return {
        "topic": topic,
        "device": own.about,
        "components": {key: it for key, it in entities(of).items() if "live" not in key},
        "going": {},
        "tried": False,
    }


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "announced.json"


def written(path: Path) -> dict[str, Any]:
    """Return the stored state of what was published."""
    found: dict[str, Any] = json.loads(path.read_bytes())
    return found


class TestAnnouncer:
    def test_it_announces_once_and_again_at_each_birth(self, path: Path) -> None:
        """Retained, followed by all states; not on `offline`, nor for a retained birth message."""
        house = House(path)
        house.start(config())
        first = list(house.said)
        house.announcer.on_birth(Received(STATUS, b"offline", retained=False))
        house.announcer.on_birth(Received(STATUS, b"online", retained=True))
        house.born()

        assert wait_until(lambda: house.repeated == 1)
        assert [(m.retain, m.qos, m.kind) for m in first] == [(True, 1, "state")] * 3
        assert house.said == first * 2
        house.announcer.close()

    def test_a_run_that_ends_by_itself_leaves_no_device(self, path: Path) -> None:
        """It announces nothing, and does not touch the devices of the service on this machine."""
        House(path).start(config())
        before = path.read_bytes()
        passing = House(path, lasting=False)

        passing.start(config(ONE))
        passing.start(config("[homeassistant]\ndiscovery = false"))

        assert passing.said == []
        assert path.read_bytes() == before

    def test_a_removed_zone_disappears_also_when_we_were_away(self, path: Path) -> None:
        """The entity is sent in full once, then as a platform only, and dropped after a birth."""
        before = House(path)
        before.start(config())
        whole = before.shown()
        house = House(path)

        house.start(config(ONE))
        first = house.shown()
        assert wait_until(lambda: written(path)["tried"])
        second = house.shown()
        house.born()
        assert wait_until(lambda: written(path)["removing"] == {})
        house.said.clear()
        house.born()
        assert wait_until(lambda: house.repeated == 2)

        removed = whole.keys() - entities(config(ONE)).keys()
        zone = {key for key in removed if key.startswith("hall.")}
        assert "hall.zone.sofa.people" in zone
        assert first == whole
        assert {key for key, there in second.items() if not there} == zone
        assert house.shown() == dict.fromkeys(entities(config(ONE)), True)

    def test_a_removed_camera_disappears(self, path: Path) -> None:
        """Its device is sent once more, then an empty message; again after a birth message."""
        House(path).start(config(TWO))
        house = House(path)

        house.start(config(ONE))
        assert wait_until(lambda: written(path)["tried"])
        house.born()
        assert wait_until(lambda: written(path)["removing"] == {})

        yard = [m for m in house.said if m.topic.endswith("/back_yard/config")]
        assert [bool(m.payload) for m in yard] == [True, False, True, False]

    def test_a_second_start_does_not_bring_it_back(self, path: Path) -> None:
        """A second start without a birth message does not send the removed entity again."""
        House(path).start(config())
        house = House(path)
        house.start(config(ONE))
        assert wait_until(lambda: written(path)["tried"])

        again = House(path)
        again.start(config(ONE))

        assert again.shown() == dict.fromkeys(entities(config(ONE)), True)

    def test_a_reload_removes_and_brings_back(self, path: Path) -> None:
        """A reload removes a zone's entities; a second reload publishes them in full again."""
        house = House(path)
        house.start(config())
        house.announcer.configure(config(ONE), topics(config()))
        assert wait_until(house.gone)

        house.said.clear()
        house.announcer.configure(config(), topics(config()))

        assert house.shown() == dict.fromkeys(entities(config()), True)

    def test_turning_discovery_off_removes_the_devices(self, path: Path) -> None:
        """Empty messages are sent, and again after a birth message."""
        House(path).start(config())
        house = House(path)
        house.start(config(OFF))
        assert wait_until(lambda: written(path)["tried"])
        house.born()
        assert wait_until(lambda: path.read_bytes() == b"null")

        again = House(path)
        again.start(config(OFF))
        again.born()

        said = [bool(m.payload) for m in house.said]
        assert said == [True] * 3 + [False] * 3 + [True] * 3 + [False] * 3
        assert wait_until(lambda: again.repeated == 1)
        assert again.said == []

    def test_entities_of_version_0_1_move_to_their_cameras(self, path: Path) -> None:
        """They are released first: Home Assistant would refuse them; removed ones are deleted."""
        house = House(path)
        before = former(config())
        path.write_bytes(json.dumps(before).encode())
        house = House(path)

        house.start(config(ONE))
        first = list(house.said)
        assert wait_until(lambda: len(house.said) > 1)
        assert wait_until(lambda: written(path)["tried"])

        assert [(m.topic, m.payload) for m in first] == [(before["topic"], MIGRATE)]
        assert written(path)["topic"] == ""
        whole = json.loads(house.said[1].payload)["components"]
        assert "hall.occupancy" not in whole
        assert "hall.zone.sofa.people" in whole
        own = [m for m in house.said if m.topic == before["topic"]][-1]
        assert json.loads(own.payload)["components"]["hall.zone.sofa.people"] == {
            "platform": "sensor"
        }

    def test_the_move_waits_for_a_session(self, path: Path) -> None:
        """The migration waits for a session, and starts again if the daemon ended in between."""
        path.write_bytes(json.dumps(former(config())).encode())
        house = House(path)
        house.announcer.configure(config(), topics(config()))

        again = House(path)
        again.start(config())

        assert [m.payload for m in house.said] == [MIGRATE]
        assert wait_until(lambda: len(again.said) == 4)
        assert again.said[0].payload == MIGRATE
        assert again.shown().keys() >= entities(config()).keys()

    def test_it_says_nothing_to_those_who_never_wanted_it(self, path: Path) -> None:
        """With discovery off from the start nothing is sent."""
        house = House(path)
        house.start(config(OFF))

        assert house.said == []

    def test_another_name_leaves_the_old_place(self, path: Path) -> None:
        """After a new device id the old discovery topics are cleared."""
        House(path).start(config())
        house = House(path)
        house.start(config(TWO.replace("hall-pi", "attic")))

        left = {m.topic for m in house.said if not m.payload}
        assert left == devices(config()).keys()
        assert [m.topic.split("/")[2] for m in house.said[3:]] == ["attic"] * 3

    def test_after_close_nothing_is_said(self, path: Path) -> None:
        """After `close` nothing is sent and no timer is left."""
        house = House(path)
        house.announcer.close()
        house.born()

        assert not house.announcer._timers
        assert house.said == []


def test_the_loss_of_a_cameras_message_is_described() -> None:
    """The log names the device and the camera that Home Assistant lacks."""
    found = describe_loss("homeassistant/device/pi/hall/config")

    assert "homeassistant/device/pi/config without the camera hall" in found
    assert describe_loss("homeassistant/device/pi/config") == ""
    assert describe_loss("edgepose/pi/hall/live") == ""
