"""Discovery: Home Assistant accepts every message, and what is removed disappears."""

import json
import random
import socket
from itertools import product
from pathlib import Path
from typing import Any

import pytest

from edgepose.config.loading import loads
from edgepose.config.schema import Config
from edgepose.mqtt import discovery
from edgepose.mqtt.announcer import DiscoveryPublisher, DiscoveryState
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


def message(of: Config) -> tuple[str, bytes]:
    entities = discovery.components(of, topics(of))
    return discovery.topic(of), discovery.payload(discovery.device(of), entities)


def many() -> list[Config]:
    """Return configurations of all kinds."""
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
        """Whatever is configured: every key is known, and none is missing."""
        assert complaints(*message(of)) == []

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
        """Where other machines find it, also behind a proxy; nowhere when they do not."""
        of = config(f"[web]\n{web}\n{ONE}")

        topic, content = message(of)

        assert json.loads(content)["device"].get("configuration_url") == link
        assert complaints(topic, content) == []

    def test_a_page_everywhere_has_the_machines_name(self) -> None:
        """A browser at home finds that by itself."""
        _, content = message(config(f'[web]\nlisten = "0.0.0.0:8600"\n{ONE}'))

        link = json.loads(content)["device"]["configuration_url"]
        assert link == f"http://{socket.gethostname().partition('.')[0]}.local:8600"

    def test_it_has_the_entities_of_the_contract(self) -> None:
        """Per camera, per zone and for the device; raw keypoints on none of them."""
        _, content = message(config())
        found = {
            key: entity["platform"] for key, entity in json.loads(content)["components"].items()
        }

        per_camera = {
            "occupancy": "binary_sensor",
            "people": "sensor",
            "posture": "sensor",
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
        }
        cameras = {
            f"{camera}.{key}": platform
            for camera in ("hall", "back_yard")
            for key, platform in per_camera.items()
        }
        assert found == cameras | zone | line | device
        assert b"/poses" not in content

    def test_only_events_are_always_available(self) -> None:
        """All others need the device and their camera; events would fire at each return."""
        for key, entity in discovery.components(config(), topics(config())).items():
            if key == "connection":  # it says itself whether the device is there
                continue
            camera, dot, _ = key.partition(".")
            places = ["edgepose/hall-pi/availability"]
            places += [f"edgepose/hall-pi/{camera}/availability"] if dot else []
            found = [each["topic"] for each in entity.get("availability", [])]
            assert found == ([] if entity["platform"] == "event" else places), key

    def test_diagnostics_are_off_by_default(self) -> None:
        """They are for those who look for them; whether the device is there concerns all."""
        for key, entity in discovery.components(config(), topics(config())).items():
            diagnostic = entity.get("entity_category") == "diagnostic" and key != "connection"
            assert entity.get("enabled_by_default", True) is not diagnostic

    def test_names_are_what_people_would_say(self) -> None:
        """With one camera nobody names it; with two each entity says where it is."""
        one = config(ONE.replace("camera.zone", "x"))
        single = discovery.components(one, topics(one))
        double = discovery.components(config(), topics(config()))

        assert single["hall.occupancy"]["name"] == "Occupancy"
        assert double["back_yard.occupancy"]["name"] == "Back yard occupancy"
        assert double["hall.zone.sofa.occupancy"]["name"] == "Hall sofa occupancy"
        assert double["hall.line.front_door.hall"]["name"] == "Hall front door to hall"

    def test_given_names_are_used_as_they_are(self) -> None:
        """In any letters; ids of topics and entities stay."""
        text = TWO.replace('id = "hall"', 'id = "hall"\nname = "Flur «unten»"').replace(
            'id = "sofa"', 'id = "sofa"\n  name = "Große Küche"'
        )
        of = config(text)

        found = discovery.components(of, topics(of))

        assert found["hall.occupancy"]["name"] == "Flur «unten» occupancy"
        assert found["hall.zone.sofa.people"]["name"] == "Flur «unten» Große Küche people"
        assert found.keys() == discovery.components(config(), topics(config())).keys()

    def test_an_entity_keeps_its_id_whatever_else_is_configured(self) -> None:
        """Home Assistant knows its history by it."""
        few = discovery.components(config(ONE), topics(config(ONE)))
        more = discovery.components(config(), topics(config()))

        assert {more[key]["unique_id"] for key in few} == {e["unique_id"] for e in few.values()}

    def test_what_is_not_watched_has_no_entity(self) -> None:
        """A fall sensor that never turns on would lull somebody."""
        of = config(ONE + "\n[events]\nfall = false\nlong_lie_s = 0\nstill_s = 0\ngestures = []\n")
        keys = discovery.components(of, topics(of)).keys()

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
        """The test above can fail."""
        where, content = message(config())
        found = json.loads(content)
        found["components"] = {"a": found["components"]["hall.occupancy"]}
        spoil(found)

        assert any(what in each for each in complaints(where, json.dumps(found).encode()))


class House:
    """What an announcer says, and how often it repeats the states."""

    def __init__(self, path: Path | None) -> None:
        self.said: list[Message] = []
        self.repeated = 0
        self.announcer = DiscoveryPublisher(
            self.said.append,
            self._repeat,
            StateFile(path, DiscoveryState | None),
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

    def shown(self, place: int = -1) -> dict[str, bool]:
        """Return the components of a message, and whether each is there or only its platform."""
        content = self.said[place].payload
        if not content:
            return {}
        found = json.loads(content)["components"]
        return {key: entity.keys() != {"platform"} for key, entity in found.items()}

    def gone(self) -> bool:
        """Say whether the last message takes something away."""
        return not all(self.shown().values()) or not self.said[-1].payload


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "announced.json"


class TestAnnouncer:
    def test_it_announces_once_and_again_at_each_birth(self, path: Path) -> None:
        """Retained, with all states after it; not at a death, nor for an old message."""
        house = House(path)
        house.start(config())
        first = list(house.said)
        house.announcer.on_birth(Received(STATUS, b"offline", retained=False))
        house.announcer.on_birth(Received(STATUS, b"online", retained=True))
        house.born()

        assert wait_until(lambda: house.repeated == 1)
        assert [(m.retain, m.qos, m.kind) for m in first] == [(True, 1, "state")]
        assert house.said == first * 2
        house.announcer.close()

    def test_a_removed_zone_disappears_also_when_we_were_away(self, path: Path) -> None:
        """Told in full once more, then as a platform only; after the next birth forgotten."""
        before = House(path)
        before.start(config())
        whole = before.shown()
        house = House(path)

        house.start(config(ONE))
        assert wait_until(house.gone)
        first, second = house.shown(0), house.shown(1)
        house.born()
        assert wait_until(lambda: b'"going":{}' in path.read_bytes())
        house.born()
        assert wait_until(lambda: len(house.said) == 5)

        removed = whole.keys() - discovery.components(config(ONE), topics(config())).keys()
        assert "hall.zone.sofa.people" in removed
        assert first == whole
        assert {key for key, there in second.items() if not there} == removed
        assert house.shown(2) == whole
        assert house.shown(3) == second
        assert house.shown(4).keys() == whole.keys() - removed

    def test_a_second_start_does_not_bring_it_back(self, path: Path) -> None:
        """Without a birth in between: an entity must not flicker at each restart."""
        House(path).start(config())
        house = House(path)
        house.start(config(ONE))
        assert wait_until(lambda: b'"tried":true' in path.read_bytes())

        again = House(path)
        again.start(config(ONE))

        assert all(again.shown().values())
        assert "hall.zone.sofa.people" not in again.shown()

    def test_a_reload_removes_and_brings_back(self, path: Path) -> None:
        """While running too; what comes back is in full again."""
        house = House(path)
        house.start(config())
        house.announcer.configure(config(ONE), topics(config()))
        assert wait_until(house.gone)

        house.announcer.configure(config(), topics(config()))

        assert house.shown() == dict.fromkeys(house.shown(0), True)

    def test_turning_discovery_off_removes_the_device(self, path: Path) -> None:
        """An empty message, and again after a birth, for a Home Assistant that was away."""
        House(path).start(config())
        house = House(path)
        house.start(config(OFF))
        assert wait_until(lambda: b'"tried":true' in path.read_bytes())
        house.born()
        assert wait_until(lambda: path.read_bytes() == b"null")

        again = House(path)
        again.start(config(OFF))
        again.born()

        assert [bool(m.payload) for m in house.said] == [True, False, True, False]
        assert wait_until(lambda: again.repeated == 1)
        assert again.said == []

    def test_it_says_nothing_to_those_who_never_wanted_it(self, path: Path) -> None:
        """Without discovery there is nothing to clean up either."""
        house = House(path)
        house.start(config(OFF))

        assert house.said == []

    def test_another_name_leaves_the_old_place(self, path: Path) -> None:
        """A device that was renamed does not stand there twice."""
        House(path).start(config())
        house = House(path)
        house.start(config(TWO.replace("hall-pi", "attic")))

        old, new = house.said
        assert (old.topic, old.payload) == ("homeassistant/device/hall-pi/config", b"")
        assert new.topic == "homeassistant/device/attic/config"

    def test_after_close_nothing_is_said(self, path: Path) -> None:
        """A timer must not outlive the daemon."""
        house = House(path)
        house.announcer.close()
        house.born()

        assert not house.announcer._timers
        assert house.said == []
